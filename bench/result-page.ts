import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import type { BenchmarkResult } from "./benchmark.ts";

const heading = `# Benchmarks

\`npm run bench -- NAME --write\` measures one and writes its table here. All contestants of a table were measured side by side in one run, in
turns, and ratios are medians of the rounds' ratios: compare rows of one table, not tables of two machines.
`;

/** A result as Markdown. */
export function formatResult(result: BenchmarkResult): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const limits = result.limits.map(
    ({ name, measured, limit }) =>
      `- ${name}: **${measured.toFixed(2)}**, limit ${limit} ${measured <= limit ? "(kept)" : "(**missed**)"}`,
  );
  return [
    `## ${result.title}`,
    "",
    result.method,
    "",
    line(["", ...result.columns]),
    line(["---", ...result.columns.map(() => "---:")]),
    ...result.rows.map((row) => line([row.name, ...row.cells])),
    ...(limits.length === 0 ? [] : ["", ...limits]),
    "",
    `Node ${process.versions.node}, ${cpus().length} x ${cpus()[0]?.model ?? "unknown processor"}, load average ${loadavg()[0]?.toFixed(1)} at the end.`,
  ].join("\n");
}

/** Puts a result between its markers in a page; a page or markers that are missing are made. */
export function writeResult(file: string, result: BenchmarkResult): void {
  const [begin, end] = [`<!-- ${result.name}: begin -->`, `<!-- ${result.name}: end -->`];
  const section = `${begin}\n${formatResult(result)}\n${end}`;
  const page = existsSync(file) ? readFileSync(file, "utf8") : heading;
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  const written =
    from < 0 || to < from
      ? `${page.trimEnd()}\n\n${section}\n`
      : `${page.slice(0, from)}${section}${page.slice(to + end.length)}`;
  writeFileSync(file, written);
}
