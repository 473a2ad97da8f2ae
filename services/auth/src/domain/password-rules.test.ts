import { describe, expect, it } from "vitest";
import { findPasswordFault, normalizePassword } from "./password-rules.ts";

describe("findPasswordFault", () => {
  it.each([
    ["a phrase", "correct horse battery", undefined],
    ["letters of any script", "пароль-из-двенадцати", undefined],
    ["12 characters outside the BMP", "🐎🔋📎✅🐎🔋📎✅🦊🐎🔋📎", undefined],
    ["11 characters that are 22 UTF-16 units", "🐎🔋📎✅🦊🐎🔋📎✅🦊🐎", "too_short"],
    ["11 characters", "abcdefghijk", "too_short"],
    [
      "12 characters in 24 code points before NFC, 12 after",
      "e\u0301i\u0301o\u0301u\u0301a\u0301n\u0303".repeat(2),
      undefined,
    ],
    ["256 characters", "abcdefgh".repeat(32), undefined],
    ["257 characters", `${"abcdefgh".repeat(32)}x`, "too_long"],
    ["1028 bytes", `${"🐎🔋📎✅🦊".repeat(51)}🐎🐎`, "too_long"],
    ["megabytes", "abcdefgh".repeat(1_000_000), "too_long"],
    ["a tab", "correct\thorse battery", "control_character"],
    ["a null", "correct\u0000horse battery", "control_character"],
    ["one letter again and again", "aaaaaaaaaaaaaaaa", "too_uniform"],
    ["the login name", "Ada.Lovelace@example.com", "login_name"],
  ])("judges %s", (_, password, fault) => {
    expect(findPasswordFault(password, "ada.lovelace@example.com")).toBe(fault);
  });
});

describe("normalizePassword", () => {
  it("makes one password of two spellings of it", () => {
    expect(normalizePassword("cafe\u0301 au lait")).toBe(normalizePassword("caf\u00e9 au lait"));
  });

  it.each([["x".repeat(257)], ["x".repeat(5_000)], ["with\nnewline"], ["with\u0000null"]])(
    "knows that nobody has it",
    (text) => {
      expect(normalizePassword(text)).toBeUndefined();
    },
  );
});
