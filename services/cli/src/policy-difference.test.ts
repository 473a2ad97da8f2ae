import { expect, it } from "vitest";
import { comparePolicies, formatDifference } from "./policy-difference.ts";

it("names rules that came, went and changed, and the sections that differ", () => {
  const from = {
    rules: [
      { name: "stays", hosts: ["stays.example.com"] },
      { name: "goes", hosts: ["goes.example.com"] },
      { name: "changes", hosts: ["a.example.com"] },
    ],
    providers: ["model"],
  };
  const to = {
    mode: "observe" as const,
    rules: [
      { name: "changes", hosts: ["a.example.com"], ports: [443] },
      { name: "comes", hosts: ["comes.example.com"] },
      { name: "stays", hosts: ["stays.example.com"] },
    ],
  };
  expect(formatDifference(comparePolicies(from, to))).toEqual([
    '- {"name":"goes","hosts":["goes.example.com"]}',
    '- {"name":"changes","hosts":["a.example.com"]}',
    '+ {"name":"changes","hosts":["a.example.com"],"ports":[443]}',
    '+ {"name":"comes","hosts":["comes.example.com"]}',
    '+ mode: "observe"',
    '- providers: ["model"]',
  ]);
  expect(formatDifference(comparePolicies(from, from))).toEqual([]);
});
