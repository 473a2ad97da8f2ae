import { expect, it } from "vitest";
import { formatDuration, formatSize, parseDuration } from "./quantities.ts";

it.each([
  [0.42, "0.4 ms"],
  [12.4, "12 ms"],
  [1_420, "1.42 s"],
  [180_000, "3 min"],
  [7_200_000, "2 h"],
  [172_800_000, "2 d"],
])("%s ms is shown as %s", (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});

it.each([
  [17, "17 B"],
  [3_277, "3.2 KiB"],
  [42_991_616, "41.0 MiB"],
])("%s bytes are shown as %s", (bytes, text) => {
  expect(formatSize(bytes)).toBe(text);
});

it.each([
  ["500ms", 500],
  ["30s", 30_000],
  ["10m", 600_000],
  ["2h", 7_200_000],
  ["1d", 86_400_000],
  ["", undefined],
  ["10", undefined],
  ["-1s", undefined],
  ["1.5s", undefined],
  ["1w", undefined],
])("the duration %j is %s ms", (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});
