import { expect, it } from "vitest";
import { formatTable } from "./table.ts";

it("aligns columns by what is seen, not by colour codes", () => {
  expect(
    formatTable(
      ["name", "phase"],
      [
        ["one", "\u001b[32mREADY\u001b[39m"],
        ["longer-name", ""],
      ],
    ),
  ).toBe("NAME         PHASE\none          \u001b[32mREADY\u001b[39m\nlonger-name");
});
