import { expect, it } from "vitest";
import { escapeControl, escapeLine } from "./escape-control.ts";

it.each([
  ["a terminal escape", "\u001b[2Jgone", "\\x1b[2Jgone"],
  ["a C1 control", "\u009b31m", "\\x9b31m"],
  ["a carriage return", "safe\rEVIL", "safe\\x0dEVIL"],
  ["backspace and delete", "\b\u007f", "\\x08\\x7f"],
  ["a right-to-left override", "user\u202egpj.exe", "user\\u202egpj.exe"],
  ["line separators", "a\u2028b", "a\\u2028b"],
  ["plain text, tabs and line feeds", "ein Wort\t✓\n", "ein Wort\t✓\n"],
])("%s is made visible", (_, text, shown) => {
  expect(escapeControl(text)).toBe(shown);
});

it("keeps one line one line", () => {
  expect(escapeLine("a\nb\tc")).toBe("a\\nb\\tc");
});
