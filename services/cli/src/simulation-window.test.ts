import { expect, it } from "vitest";
import { parseWindow } from "./simulation-window.ts";

it.each([
  ["last-7d", { maxDecisions: 100_000, maxAgeMs: 604_800_000 }],
  ["last-30m", { maxDecisions: 100_000, maxAgeMs: 1_800_000 }],
  ["500", { maxDecisions: 500, maxAgeMs: undefined }],
  ["100000", { maxDecisions: 100_000, maxAgeMs: undefined }],
  ["100001", undefined],
  ["0", undefined],
  ["7d", undefined],
  ["last-", undefined],
  ["last-week", undefined],
  ["", undefined],
])("reads %j", (text, window) => {
  expect(parseWindow(text)).toEqual(window);
});
