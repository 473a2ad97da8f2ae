import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { type Benchmark, medianOf } from "./benchmark.ts";
import { createBenchSuite } from "./suite/bench-suite.ts";

const warmUpRounds = 2;
/** A person does not type faster: by then the suite has cleared up after the last command, and its spare sandbox is set up. */
const restMs = 1_000;
const demos = 3;

interface Stage {
  readonly stage: string;
  readonly tookMs: number;
}

/** How long a person waits: for a command in a new sandbox, and for the demo's first sandbox. */
export const benchmark: Benchmark = {
  defaultRounds: 30,
  async run({ rounds, onProgress }) {
    const suite = createBenchSuite();
    const atRestMs: number[] = [];
    const atOnceMs: number[] = [];
    const stagesMs = new Map<string, number[]>();
    try {
      await suite.sandgate("up", "--json");
      const run = async () => {
        const startedAt = performance.now();
        const events = await suite.sandgate("run", "--json", "--timings", "--no-stdin", "--", "true");
        return { tookMs: performance.now() - startedAt, events };
      };
      for (let round = 1 - warmUpRounds; round <= rounds; round++) {
        await sleep(restMs);
        const atRest = await run();
        const atOnce = await run();
        if (round < 1) continue;
        atRestMs.push(atRest.tookMs);
        atOnceMs.push(atOnce.tookMs);
        for (const { stage, tookMs } of stagesOf(atRest.events)) {
          const all = stagesMs.get(stage) ?? [];
          all.push(tookMs);
          stagesMs.set(stage, all);
        }
        onProgress(
          `round ${round}/${rounds}: ${atRest.tookMs.toFixed(0)} ms, at once again ${atOnce.tookMs.toFixed(0)} ms`,
        );
      }
    } finally {
      await suite.remove();
    }
    const demoMs: number[] = [];
    for (let count = 1; count <= demos; count++) {
      demoMs.push(await timeDemo());
      onProgress(`demo ${count}/${demos}: READY after ${demoMs.at(-1)?.toFixed(0)} ms`);
    }
    const row = (name: string, values: readonly number[]) => ({
      name,
      cells: [medianOf(values), percentile(values, 0.9)].map((value) => `${value.toFixed(0)} ms`),
    });
    return {
      title: "From a command to a sandbox",
      method:
        `\`sandgate run -- true\` against a running suite, ${rounds} times ${restMs / 1000} s after the command before and ${rounds} times at once after it: the whole command as its caller sees it, and the former's stages as ` +
        `\`--timings\` tells them. \`npm run demo\`, ${demos} times: from the command until its first sandbox is READY (two are made at the same moment), with the suite and its database started on the way.`,
      columns: ["p50", "p90"],
      rows: [
        row("`sandgate run -- true`", atRestMs),
        ...[...stagesMs].map(([stage, values]) => row(`- ${titles[stage] ?? stage}`, values)),
        row("`sandgate run -- true`, at once after another", atOnceMs),
        row("`npm run demo`: first sandbox READY", demoMs),
      ],
      limits: [
        { name: "`sandgate run -- true`, p50 in ms", measured: medianOf(atRestMs), limit: 400 },
        { name: "`npm run demo` until READY, p50 in ms", measured: medianOf(demoMs), limit: 3000 },
      ],
    };
  },
};

/** What the command's stages mean to a reader. */
const titles: Readonly<Record<string, string>> = {
  "start the command line": "start of the command line",
  "connect and create": "connect, create",
  "phase PROVISIONING": "PROVISIONING: directories, registration, policy",
  "phase STARTING": "STARTING: driver and supervisor",
  "phase READY": "until READY: start of the supervisor, enrolment, enforced policy, confinement probe",
  "exec, first message": "spawn of the command",
};

function stagesOf(events: readonly unknown[]): readonly Stage[] {
  const timings = events.find(
    (event): event is { readonly stages: readonly Stage[] } =>
      typeof event === "object" && event !== null && "stages" in event,
  );
  if (timings === undefined) throw new Error("the command told no timings");
  return timings.stages;
}

/** From the command until its first line that says READY; the demo is then left to end by itself. */
async function timeDemo(): Promise<number> {
  const startedAt = performance.now();
  const child = spawn("npm", ["run", "--silent", "demo"], {
    cwd: join(import.meta.dirname, ".."),
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  let readyMs: number | undefined;
  for await (const line of createInterface({ input: child.stdout }))
    if (line.includes("READY after")) readyMs ??= performance.now() - startedAt;
  const exitCode = await exited;
  if (exitCode !== 0 || readyMs === undefined) throw new Error(`the demo ended with ${exitCode}`);
  return readyMs;
}

function percentile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}
