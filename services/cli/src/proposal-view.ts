import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type PolicyProposal,
  ProposalSource,
  ProposalState,
  type ReviewWarning,
  type Rule,
} from "@sandgate/api/policy";
import { escapeLine } from "./escape-control.ts";
import type { Output } from "./output.ts";
import { formatTable } from "./table.ts";

type Colors = Output["colors"];

/** The states of proposals, as the command line takes them. */
export type StateName = "pending" | "approved" | "rejected" | "undone";

const states: Readonly<Record<StateName, ProposalState>> = {
  pending: ProposalState.PENDING,
  approved: ProposalState.APPROVED,
  rejected: ProposalState.REJECTED,
  undone: ProposalState.UNDONE,
};

/** The state with a name. */
export function stateOfName(name: StateName): ProposalState {
  return states[name];
}

/** Proposals under headings, each on a line. Whatever a sandbox wrote is escaped, and cut where it is long. */
export function formatProposalTable(proposals: readonly PolicyProposal[], colors: Colors): string {
  return formatTable(
    ["proposal", "version", "state", "from", "what", "reason"],
    proposals.map((proposal) => [
      proposal.proposalId,
      String(proposal.version),
      coloredState(colors, proposal.state),
      sourceName(proposal),
      cut(proposal.rules.map(describeRule).join("; "), 60),
      cut(escapeLine(proposal.reason), 60),
    ]),
  );
}

/** One proposal with everything that a reviewer should know before approving it. */
export function formatProposal(proposal: PolicyProposal, warnings: readonly ReviewWarning[], colors: Colors): string {
  const { proposalId, version, reason, reviewer, reviewReason } = proposal;
  const evidence = proposal.evidence.map(({ host, port, tunnel, count, decisionIds }) => [
    escapeLine(`${host}:${port}`),
    tunnel ? "tunnel" : "http",
    String(count),
    decisionIds[0] ?? "",
  ]);
  return [
    `${proposalId}, version ${version}, ${coloredState(colors, proposal.state)}, from ${sourceName(proposal)} ${escapeLine(proposal.proposer)}`,
    ...(reason === "" ? [] : [`reason: ${escapeLine(reason)}`]),
    ...(reviewer === ""
      ? []
      : [`reviewer: ${escapeLine(reviewer)}${reviewReason === "" ? "" : `: ${escapeLine(reviewReason)}`}`]),
    ...proposal.rules.map((rule) => `rule ${escapeLine(rule.name)}: ${describeRule(rule)}`),
    ...proposal.grantedRules.map((rule) => `granted as ${escapeLine(rule.name)}: ${describeRule(rule)}`),
    ...formatWarnings(warnings, colors),
    ...(evidence.length === 0 ? [] : [formatTable(["asked for", "by", "times", "decision"], evidence)]),
  ].join("\n");
}

/** A line for each warning. */
export function formatWarnings(warnings: readonly ReviewWarning[], colors: Colors): readonly string[] {
  return warnings.map(
    ({ rule, field, message, value }) =>
      `${colors.yellow("warning")}: ${escapeLine(rule)}, ${escapeLine(field)}: ${escapeLine(message)}: ${escapeLine(value)}`,
  );
}

function describeRule({ hosts, ports, allowedIps, expireTime }: Rule): string {
  const where = [...hosts, ...allowedIps].map(escapeLine).join(" ");
  const through = ports.length === 0 ? "" : ` on ${ports.join(", ")}`;
  const until = expireTime === undefined ? "" : ` until ${new Date(timestampMs(expireTime)).toISOString()}`;
  return `${where}${through}${until}`;
}

function sourceName({ source }: PolicyProposal): string {
  return ProposalSource[source].toLowerCase();
}

function coloredState(colors: Colors, state: ProposalState): string {
  switch (state) {
    case ProposalState.PENDING:
      return colors.yellow("pending");
    case ProposalState.APPROVED:
      return colors.green("approved");
    case ProposalState.REJECTED:
      return colors.red("rejected");
    case ProposalState.UNDONE:
      return "undone";
    case ProposalState.UNSPECIFIED:
      return "unknown";
  }
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}
