import { expect, it } from "vitest";
import { parseLoginName } from "./login-name.ts";

it.each([
  ["ada", "ada"],
  ["Ada@Example.COM", "ada@example.com"],
  ["a.b-c_d%e+f@g", "a.b-c_d%e+f@g"],
  ["", undefined],
  ["@ada", undefined],
  ["ada lovelace", undefined],
  ["аda", undefined], // the first letter is Cyrillic
  ["ada\n", undefined],
  ["\u212ada", undefined], // the Kelvin sign, whose lower case is k
  ["a".repeat(254), "a".repeat(254)],
  ["a".repeat(255), undefined],
])("takes %j for %j", (text, name) => {
  expect(parseLoginName(text)).toBe(name);
});
