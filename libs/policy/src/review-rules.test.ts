import { expect, it } from "vitest";
import { parseAuthoredPolicy } from "./authored-policy.ts";
import { reviewRules } from "./review-rules.ts";

function warningsFor(rule: unknown): string[] {
  const check = parseAuthoredPolicy({ rules: [rule] });
  if (!check.ok) throw new TypeError(JSON.stringify(check.faults));
  return reviewRules(check.policy.rules).map(({ field, message, value }) => `${field} ${message}: ${value}`);
}

it.each([
  ["an ordinary host", "api.example.com", []],
  [
    "a Cyrillic letter in a Latin name",
    "pаypal.com",
    ["mixes scripts (Latin, Cyrillic), as names made to deceive do: pаypal.com"],
  ],
  [
    "a whole name in Cyrillic that looks Latin",
    "аррӏе.com",
    ["is written in Cyrillic letters, which may look like others: аррӏе.com"],
  ],
  [
    "a Latin letter that is not ASCII",
    "bücher.example.com",
    ["has letters that are easily taken for others: bücher.example.com"],
  ],
  [
    "Japanese, which has several scripts",
    "東京タワー.example.com",
    ["is written in Han and Katakana letters, which may look like others: 東京タワー.example.com"],
  ],
  ["a wildcard", "*.example.com", ["allows every name below it, at any depth: *.example.com"]],
  ["a public suffix", "blogspot.com", ["is a public suffix itself: blogspot.com"]],
] as const)("says of %s what a reviewer should know", (_what, host, messages) => {
  expect(warningsFor(host)).toEqual(messages.map((message) => `hosts[0] ${message}`));
});

it("points at odd ports and private addresses", () => {
  expect(warningsFor({ hosts: ["a.example.com"], ports: [443, 22], allowed_ips: ["10.0.0.0/8"] })).toEqual([
    "ports[1] not a port of the web: 22",
    "allowed_ips[0] opens addresses that are not public: 10.0.0.0/8",
  ]);
});
