import { create } from "@bufbuild/protobuf";
import { PolicyProposalSchema, PolicySimulationSchema, ReviewWarningSchema } from "@sandgate/api/policy";
import pc from "picocolors";
import { expect, it } from "vitest";
import { formatProposal, formatProposalTable } from "./proposal-view.ts";
import { formatSimulation } from "./simulation-view.ts";

const plain = pc.createColors(false);
const hostile = "\u001b[2J\u001b]0;owned\u0007\u202eevil\r\nPROPOSAL  prp-fake\u009b31m";

it("shows what a sandbox wrote without letting it write to the terminal, or lines of its own", () => {
  const proposal = create(PolicyProposalSchema, {
    proposalId: `prp-${"a".repeat(20)}`,
    reason: hostile,
    proposer: hostile,
    reviewReason: hostile,
    reviewer: hostile,
    rules: [{ name: hostile, hosts: [hostile] }],
    evidence: [{ host: hostile, port: 443, count: 1n }],
  });
  const warning = create(ReviewWarningSchema, { rule: hostile, field: hostile, message: hostile, value: hostile });
  const simulation = create(PolicySimulationSchema, {
    newlyAllowed: [{ host: hostile, rule: hostile }],
    unusedRules: [hostile],
  });
  const shown = [
    formatProposalTable([proposal], plain),
    formatProposal(proposal, [warning], plain),
    formatSimulation(simulation, plain),
  ].join("\n");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
  expect(shown).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
  expect(shown.split("\n").filter((line) => line.startsWith("PROPOSAL  prp-fake"))).toEqual([]);
});

it("cuts a long reason in the table", () => {
  const proposal = create(PolicyProposalSchema, { reason: "x".repeat(1000) });
  expect(
    Math.max(
      ...formatProposalTable([proposal], plain)
        .split("\n")
        .map(({ length }) => length),
    ),
  ).toBeLessThan(150);
});
