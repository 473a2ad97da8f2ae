import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Decision, Verdict } from "@sandgate/api/policy";
import { escapeLine } from "./escape-control.ts";
import type { Output } from "./output.ts";
import { formatSize } from "./quantities.ts";
import { formatTable } from "./table.ts";

type Colors = Output["colors"];

/** One row for each destination and verdict, in the order of their first attempt. */
export function formatDecisionSummary(decisions: readonly Decision[], colors: Colors): string {
  const groups = new Map<string, { first: Decision; times: number; sent: bigint; received: bigint; last: Decision }>();
  for (const decision of decisions) {
    const key = [decision.verdict, decision.host, decision.port, decision.reason, decision.rule].join("\n");
    const group = groups.get(key) ?? { first: decision, times: 0, sent: 0n, received: 0n, last: decision };
    group.times += 1;
    group.sent += decision.sentBytes;
    group.received += decision.receivedBytes;
    group.last = decision;
    groups.set(key, group);
  }
  return formatTable(
    ["verdict", "destination", "times", "why", "sent", "received", "decision"],
    [...groups.values()].map(({ first, times, sent, received, last }) => [
      coloredVerdict(colors, first.verdict),
      destinationOf(first),
      String(times),
      whyOf(first),
      formatSize(Number(sent)),
      formatSize(Number(received)),
      last.decisionId,
    ]),
  );
}

/** One decision on one line. */
export function formatDecisionLine(decision: Decision, colors: Colors): string {
  const time = decision.time === undefined ? "" : new Date(timestampMs(decision.time)).toISOString();
  return [
    colors.dim(time),
    coloredVerdict(colors, decision.verdict).padEnd(10),
    escapeLine(decision.method).padEnd(8),
    destinationOf(decision),
    whyOf(decision),
    colors.dim(decision.decisionId),
  ].join(" ");
}

/** Decisions under headings, each on a line. */
export function formatDecisionTable(decisions: readonly Decision[], colors: Colors): string {
  return formatTable(
    ["time", "verdict", "method", "destination", "why", "revision", "decision"],
    decisions.map((decision) => [
      decision.time === undefined ? "" : new Date(timestampMs(decision.time)).toISOString(),
      coloredVerdict(colors, decision.verdict),
      escapeLine(decision.method),
      destinationOf(decision),
      whyOf(decision),
      String(decision.policyRevision),
      decision.decisionId,
    ]),
  );
}

/** The destinations that were denied because no rule names them, as arguments of `--allow`. */
export function suggestedAllows(decisions: readonly Decision[]): readonly string[] {
  const allows = decisions
    .filter(
      ({ verdict, reason }) =>
        (verdict === Verdict.DENIED || verdict === Verdict.WOULD_DENY) &&
        (reason === "host_not_allowed" || reason === "port_not_allowed"),
    )
    .map(({ host, port }) => (port === 80 || port === 443 ? host : `${host}:${port}`));
  return [...new Set(allows)].filter((host) => /^[a-z0-9.-]+(:\d+)?$/.test(host));
}

function destinationOf(decision: Decision): string {
  const host = decision.host.includes(":") ? `[${decision.host}]` : decision.host;
  return escapeLine(`${host}:${decision.port}`);
}

function whyOf(decision: Decision): string {
  if (decision.reason !== "") return escapeLine(decision.reason);
  return decision.rule === "" ? "" : `rule ${escapeLine(decision.rule)}`;
}

function coloredVerdict(colors: Colors, verdict: Verdict): string {
  switch (verdict) {
    case Verdict.ALLOWED:
      return colors.green("allowed");
    case Verdict.DENIED:
      return colors.red("denied");
    case Verdict.FAILED:
      return colors.yellow("failed");
    case Verdict.WOULD_DENY:
      return colors.yellow("would deny");
    case Verdict.UNSPECIFIED:
      return "unknown";
  }
}
