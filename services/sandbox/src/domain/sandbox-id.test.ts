import { expect, it } from "vitest";
import { formatSandboxId, nameOfId } from "./sandbox-id.ts";
import { findNameFault } from "./sandbox-name.ts";

it("makes ids of 20 characters from any random bytes", () => {
  for (const byte of [0, 31, 32, 255])
    expect(formatSandboxId(new Uint8Array(20).fill(byte))).toMatch(/^sbx-[a-z2-7]{20}$/);
});

it("refuses fewer random bytes", () => {
  expect(() => formatSandboxId(new Uint8Array(19))).toThrow(TypeError);
});

it("makes valid names for sandboxes without one", () => {
  expect(findNameFault(nameOfId(formatSandboxId(new Uint8Array(20).fill(7))))).toBeUndefined();
});
