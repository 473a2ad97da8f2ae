import { expect, it } from "vitest";
import { parsePortPair } from "./port-pair.ts";

it.each([
  ["80", { local: 80, remote: 80 }],
  ["8080:80", { local: 8080, remote: 80 }],
  ["0:80", { local: 0, remote: 80 }],
  ["80:0", undefined],
  ["0", undefined],
  ["65536", undefined],
  ["1:65536", undefined],
  ["a:80", undefined],
  ["1:2:3", undefined],
  ["", undefined],
])("%j is %j", (text, pair) => {
  expect(parsePortPair(text)).toEqual(pair);
});
