import { once } from "node:events";
import { closeSync } from "node:fs";
import { expect, it } from "vitest";
import { openTerminal } from "./terminal.ts";

it("is resized while it is open; afterwards its descriptor may be somebody else's", async () => {
  const terminal = await openTerminal({ rows: 24, columns: 80 });
  terminal.resize({ rows: 30, columns: 90 });
  const closed = once(terminal.ours, "close");
  terminal.ours.destroy();
  closeSync(terminal.theirs);
  expect(() => terminal.resize({ rows: 40, columns: 100 })).not.toThrow();
  await closed;
  expect(() => terminal.resize({ rows: 40, columns: 100 })).not.toThrow();
});
