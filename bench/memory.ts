import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { type Benchmark, medianOf } from "./benchmark.ts";
import { createBenchSuite } from "./suite/bench-suite.ts";

const restMs = 15_000;
const sampleMs = 2_000;
const mebibyte = 1024 * 1024;

interface Topology {
  readonly title: string;
  readonly options: readonly string[];
  readonly limitMib: number | undefined;
}

const topologies: readonly Topology[] = [
  { title: "control plane in one process", options: ["--all-in-one"], limitMib: 300 },
  { title: "every service a process of its own", options: ["--separate"], limitMib: undefined },
];

/** The proportional memory (PSS) of a suite that has nothing to do, its database included. */
export const benchmark: Benchmark = {
  defaultRounds: 3,
  async run({ rounds, onProgress }) {
    const rows: { name: string; cells: string[] }[] = [];
    const limits: { name: string; measured: number; limit: number }[] = [];
    for (const { title, options, limitMib } of topologies) {
      const suite = createBenchSuite();
      try {
        const [started] = await suite.sandgate("up", "--json", ...options);
        const programs = programsOf(started);
        await sleep(restMs);
        const samples = await sample(programs, rounds);
        const totalMib = medianOf(samples.map(({ totalMib }) => totalMib));
        onProgress(`${title}: ${totalMib.toFixed(0)} MiB`);
        rows.push({ name: `**${title}**`, cells: [`**${totalMib.toFixed(0)} MiB**`] });
        for (const { name } of programs)
          rows.push({
            name: `- ${name}`,
            cells: [`${medianOf(samples.map(({ mib }) => mib.get(name) ?? Number.NaN)).toFixed(0)} MiB`],
          });
        if (limitMib !== undefined) limits.push({ name: `${title}, MiB`, measured: totalMib, limit: limitMib });
        await suite.sandgate("create", "bench", "--json");
        await sleep(restMs);
        const withOne = medianOf((await sample(programs, rounds)).map((one) => one.totalMib));
        rows.push({
          name: "- more with one idle sandbox, its supervisor included",
          cells: [`${(withOne - totalMib).toFixed(0)} MiB`],
        });
        await suite.sandgate("rm", "bench", "--json");
      } finally {
        await suite.remove();
      }
    }
    return {
      title: "Memory of a suite at rest",
      method:
        "Sum of the proportional set sizes (`/proc/*/smaps_rollup`) of the suite's processes and all their children, PostgreSQL's and the sandboxes' included, " +
        `${restMs / 1000} s after the last thing that happened; median of ${rounds} samples.`,
      columns: ["PSS"],
      rows,
      limits,
    };
  },
};

interface Program {
  readonly name: string;
  readonly pid: number;
}

function programsOf(started: unknown): readonly Program[] {
  if (typeof started !== "object" || started === null || !("processes" in started))
    throw new Error("no processes were told");
  return started.processes as readonly Program[]; // what `sandgate up --json` prints
}

async function sample(
  programs: readonly Program[],
  count: number,
): Promise<readonly { totalMib: number; mib: ReadonlyMap<string, number> }[]> {
  const samples = [];
  for (let index = 0; index < count; index++) {
    if (index > 0) await sleep(sampleMs);
    const parents = readParents();
    const mib = new Map(
      programs.map(({ name, pid }) => [
        name,
        descendantsOf(pid, parents).reduce((sum, one) => sum + proportionalBytes(one), 0) / mebibyte,
      ]),
    );
    samples.push({ totalMib: [...mib.values()].reduce((sum, one) => sum + one, 0), mib });
  }
  return samples;
}

function readParents(): ReadonlyMap<number, number> {
  const parents = new Map<number, number>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = readProc(`/proc/${name}/stat`);
    const parent = /^\d+ \(.*\) \S (\d+)/s.exec(stat)?.[1];
    if (parent !== undefined) parents.set(Number(name), Number(parent));
  }
  return parents;
}

function descendantsOf(pid: number, parents: ReadonlyMap<number, number>): readonly number[] {
  const found = new Set([pid]);
  for (let grown = true; grown; ) {
    grown = false;
    for (const [child, parent] of parents)
      if (found.has(parent) && !found.has(child)) {
        found.add(child);
        grown = true;
      }
  }
  return [...found];
}

function proportionalBytes(pid: number): number {
  return Number(/^Pss:\s+(\d+) kB$/m.exec(readProc(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0) * 1024;
}

/** Empty for a process that has ended meanwhile. */
function readProc(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ESRCH")) return "";
    throw error;
  }
}
