import { createHash } from "node:crypto";
import { expect, it } from "vitest";
import { hashSecretToken, newSecretToken } from "./secret-token.ts";

it("makes secrets that scanners can tell by their form, each another", () => {
  const tokens = Array.from({ length: 50 }, () => newSecretToken("sgr"));
  for (const token of tokens) expect(token).toMatch(/^sgr_[0-9A-Za-z]{49}$/);
  expect(new Set(tokens).size).toBe(50);
});

it("keeps the SHA-256 of a secret", () => {
  const token = newSecretToken("sgi");
  expect(hashSecretToken("sgi", token)).toEqual(createHash("sha256").update(token).digest());
});

it("knows at sight what is no secret of the kind", () => {
  const token = newSecretToken("sgr");
  const other = token.at(-1) === "0" ? "1" : "0";
  for (const text of [
    "",
    "sgr_",
    token.slice(0, -1),
    `${token}0`,
    `${token.slice(0, -1)}${other}`,
    `${token} `,
    token.toLowerCase(),
  ])
    expect(hashSecretToken("sgr", text)).toBeUndefined();
  expect(hashSecretToken("sgi", token)).toBeUndefined();
});
