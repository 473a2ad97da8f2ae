/**
 * npm run bench -- NAME [--rounds N] [--json] [--write] [--profile DIRECTORY]
 * Runs a benchmark and prints its table; with --json the result as JSON; with --write the table also goes into docs/benchmarks.md;
 * with --profile servers leave CPU profiles.
 * Exits with 1 when a limit is missed, with 2 when it is called wrongly.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Benchmark, BenchmarkResult } from "./benchmark.ts";
import { formatResult, writeResult } from "./result-page.ts";

const benchmarks: Readonly<Record<string, () => Promise<{ benchmark: Benchmark }>>> = {
  unary: () => import("./unary.ts"),
  audit: () => import("./audit.ts"),
  tokens: () => import("./tokens.ts"),
  ready: () => import("./ready.ts"),
  memory: () => import("./memory.ts"),
  simulation: () => import("./simulation.ts"),
  logins: () => import("./logins.ts"),
  revocation: () => import("./revocation.ts"),
  exec: () => import("./exec.ts"),
  envelope: () => import("./envelope.ts"),
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string" },
    json: { type: "boolean" },
    write: { type: "boolean" },
    profile: { type: "string" },
  },
});
const [name = ""] = positionals;
const load = Object.hasOwn(benchmarks, name) ? benchmarks[name] : undefined;
const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
if (
  load === undefined ||
  positionals.length > 1 ||
  (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0))
) {
  console.error(
    `npm run bench -- ${Object.keys(benchmarks).join("|")} [--rounds N] [--json] [--write] [--profile DIRECTORY]`,
  );
  process.exit(2);
}
const { benchmark } = await load();
const result: BenchmarkResult = {
  name,
  ...(await benchmark.run({
    rounds: rounds ?? benchmark.defaultRounds,
    profileDirectory: values.profile,
    onProgress: (line) => process.stderr.write(`${line}\n`),
  })),
};
console.log(values.json === true ? JSON.stringify(result, undefined, 2) : formatResult(result));
if (values.write === true) writeResult(join(import.meta.dirname, "../docs/benchmarks.md"), result);
process.exit(result.limits.some(({ measured, limit }) => measured > limit) ? 1 : 0);
