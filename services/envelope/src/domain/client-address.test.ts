import { expect, it } from "vitest";
import { readClientAddress } from "./client-address.ts";

it.each([
  ["192.0.2.7", { family: 4, text: "192.0.2.7" }],
  ["::ffff:192.0.2.7", { family: 4, text: "192.0.2.7" }],
  ["::FFFF:c000:0207", { family: 4, text: "192.0.2.7" }],
  ["2001:DB8:0::1", { family: 6, text: "2001:db8::1" }],
  ["::1:192.0.2.7", { family: 6, text: "::1:c000:207" }],
  ["fe80::1%eth0", undefined],
  ["10.1 } ; flush ruleset", undefined],
  ["", undefined],
  [undefined, undefined],
])("E-15: the address %s", (text, expected) => {
  expect(readClientAddress(text)).toEqual(expected);
});
