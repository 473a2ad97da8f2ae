import { hash as hashBcrypt } from "@node-rs/bcrypt";
import { describe, expect, it } from "vitest";
import { PasswordHasher } from "./password-hasher.ts";

const caller = { from: "192.0.2.1", signal: new AbortController().signal };
const hasher = new PasswordHasher();
const password = "correct horse battery";

describe("PasswordHasher", () => {
  it("hashes with argon2id, 19 MiB, two passes, one lane", async () => {
    const hash = await hasher.hash(password, caller);
    expect(hash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    expect(await hasher.verify(hash, password, caller)).toBe(true);
    expect(await hasher.verify(hash, `${password} `, caller)).toBe(false);
    expect(hasher.needsRehash(hash)).toBe(false);
  });

  it("takes bcrypt hashes, to be made anew", async () => {
    const hash = await hashBcrypt(password, 4);
    for (const spelling of [hash, hash.replace("$2b$", "$2y$"), hash.replace("$2b$", "$2a$")])
      expect(await hasher.verify(spelling, password, caller)).toBe(true);
    expect(await hasher.verify(hash, "another", caller)).toBe(false);
    expect(hasher.needsRehash(hash)).toBe(true);
  });

  it("does not take the first 72 bytes for the whole of a bcrypt password", async () => {
    const hash = await hashBcrypt("x".repeat(72), 4);
    expect(await hasher.verify(hash, "x".repeat(72), caller)).toBe(true);
    expect(await hasher.verify(hash, "x".repeat(73), caller)).toBe(false);
  });

  it.each([[undefined], ["not a hash"], ["$argon2id$v=19$m=19456,t=2,p=1$AAAA$AAAA"], ["$2b$04$short"]])(
    "finds no password right for the hash %s",
    async (hash) => {
      expect(await hasher.verify(hash, password, caller).catch(() => "refused")).not.toBe(true);
    },
  );

  it("refuses with LOGIN_BUSY when too many wait", async () => {
    const small = new PasswordHasher({ concurrency: 1, maximumWaiting: 1 });
    const outcomes = await Promise.allSettled([1, 2, 3].map(() => small.hash(password, caller)));
    const reasons = outcomes.map((outcome) => (outcome.status === "rejected" ? outcome.reason.reason : "OK"));
    expect(reasons).toEqual(["OK", "OK", "LOGIN_BUSY"]);
  });
});
