import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type PolicySimulation, type SimulatedChange, Verdict } from "@sandgate/api/policy";
import { escapeLine } from "./escape-control.ts";
import type { Output } from "./output.ts";
import { formatTable } from "./table.ts";

/** What a candidate would change about what is on record, for people. Hosts were chosen by the sandbox: they are escaped. */
export function formatSimulation(simulation: PolicySimulation, colors: Output["colors"]): string {
  const { decisionCount, firstTime, newlyAllowed, newlyDenied, unusedRules } = simulation;
  const since = firstTime === undefined ? "" : ` since ${new Date(timestampMs(firstTime)).toISOString()}`;
  const table = (changes: readonly SimulatedChange[]) =>
    changes.length === 0
      ? []
      : [
          formatTable(
            ["destination", "times", "now", "then", "rule"],
            changes.map(({ host, port, count, before, after, rule }) => [
              escapeLine(`${host.includes(":") ? `[${host}]` : host}:${port}`),
              String(count),
              verdictName(before),
              verdictName(after),
              escapeLine(rule),
            ]),
          ),
        ];
  return [
    `simulated on ${decisionCount} decisions on record${since}:`,
    `${colors.green("newly allowed")}: ${simulation.newlyAllowedCount}`,
    ...table(newlyAllowed),
    `${colors.red("newly denied")}: ${simulation.newlyDeniedCount}`,
    ...table(newlyDenied),
    ...(unusedRules.length === 0
      ? []
      : [`rules that nothing on record needs: ${unusedRules.map(escapeLine).join(", ")}`]),
  ].join("\n");
}

function verdictName(verdict: Verdict): string {
  return Verdict[verdict].toLowerCase().replaceAll("_", " ");
}
