/** Runs every static check, as many at once as there are processors. Prints one line for each, and the output of those that fail. */
import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");

/** What is checked, the slowest first; each with the command that mends it, where there is one. */
const checks = [
  { name: "types", command: "tsc --incremental --tsBuildInfoFile .cache/types.tsbuildinfo" },
  {
    name: "borders",
    command: "depcruise --config dependency-cruiser.config.ts libs services scripts test *.config.ts",
  },
  {
    name: "lint and format",
    command: "biome check --diagnostic-level=warn --error-on-warnings --max-diagnostics=100 .",
    mend: "npm run format",
  },
  { name: "dead code", command: "knip --no-progress" },
  { name: "generated pages", command: "node scripts/docs.ts --check", mend: "npm run docs" },
  { name: "house rules", command: "node scripts/house-rules.ts" },
  {
    name: "proto compatibility",
    command: "buf build --path proto/sandgate --output - | buf breaking - --against proto/image.binpb",
    mend: "npm run accept-proto",
  },
  { name: "proto lint", command: "buf lint" },
  { name: "proto format", command: "buf format --diff --exit-code --path proto/sandgate", mend: "npm run format" },
  { name: "lock file", command: "node scripts/complete-lock.ts --check", mend: "npm run complete-lock" },
] as const;

interface Outcome {
  readonly failed: boolean;
  readonly output: string;
}

function run(command: string): Promise<Outcome> {
  const { promise, resolve: settle, reject } = Promise.withResolvers<Outcome>();
  const child = spawn("sh", ["-c", command], { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
  child.on("error", reject);
  child.on("close", (code) => settle({ failed: code !== 0, output: output.trim() }));
  return promise;
}

/** Takes checks from the queue until it is empty; answers how many failed. */
async function work(queue: Iterator<(typeof checks)[number]>): Promise<number> {
  let failures = 0;
  for (let next = queue.next(); next.done !== true; next = queue.next()) {
    const { name, command } = next.value;
    const startedAt = performance.now();
    const { failed, output } = await run(command);
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    console.log(`${failed ? "FAILED" : "ok    "} ${seconds.padStart(5)} s  ${name}`);
    if (!failed) continue;
    failures += 1;
    console.log(`\n$ ${command}\n${output}\n${"mend" in next.value ? `mend: ${next.value.mend}\n` : ""}`);
  }
  return failures;
}

const queue = checks.values();
const failures = await Promise.all(Array.from({ length: availableParallelism() }, () => work(queue)));
const total = failures.reduce((sum, count) => sum + count, 0);
console.log(total === 0 ? `all ${checks.length} checks passed` : `${total} of ${checks.length} checks failed`);
process.exitCode = total === 0 ? 0 : 1;
