import { readOutput } from "../process/process-output.ts";
import type { Workload } from "../process/workload.ts";
import type { ConfinementFinding } from "./confinement-finding.ts";
import { probeScript } from "./probe-script.ts";

const timeoutMs = 10_000;
const maxOutputBytes = 64 * 1024;

/**
 * Proves the confinement by trying to break it: a process of the workload, started like every other one, tries what none must be able
 * to do. It runs before anything that a user chose, so no workload can have tampered with it. A probe that does not answer is a finding itself.
 */
export async function probeConfinement(options: {
  workload: Workload;
  /** How a process of the workload starts it. */
  runtime: readonly string[];
  unreachablePaths: readonly string[];
  /** Whether system calls are to be filtered here. */
  filtered: boolean;
  /** Whether the workload shares its namespaces, a container's, with the supervisor. */
  container: boolean;
}): Promise<readonly ConfinementFinding[]> {
  const { workload, unreachablePaths, filtered, container } = options;
  const process = await workload.start({
    command: [...options.runtime, "-e", probeScript, JSON.stringify({ paths: unreachablePaths, filtered, container })],
    environment: {},
    workingDirectory: "",
    streams: { kind: "pipes" },
    ownCode: true, // NODE_OPTIONS of a spec, or of an image, would have the probe say what its author likes
  });
  process.stdin?.end();
  const kill = setTimeout(() => process.kill(), timeoutMs);
  try {
    const texts = { stdout: "", stderr: "" };
    for await (const { from, data } of readOutput(process)) {
      texts[from] += data.toString("utf8");
      if (texts[from].length > maxOutputBytes) process.kill();
    }
    const exit = await process.exited;
    const findings = exit.kind === "exited" && exit.code === 0 ? parseFindings(texts.stdout) : undefined;
    return (
      findings ?? [{ name: "probe", confined: false, detail: `it gave no answer: ${texts.stderr.trim().slice(-300)}` }]
    );
  } finally {
    clearTimeout(kill);
  }
}

function parseFindings(text: string): readonly ConfinementFinding[] | undefined {
  try {
    const findings: unknown = JSON.parse(text);
    return Array.isArray(findings) && findings.length > 0 && findings.every(isFinding) ? findings : undefined;
  } catch {
    return undefined; // it ended in the middle of its answer
  }
}

function isFinding(value: unknown): value is ConfinementFinding {
  return (
    typeof value === "object" &&
    value !== null &&
    "name" in value &&
    typeof value.name === "string" &&
    "confined" in value &&
    typeof value.confined === "boolean" &&
    "detail" in value &&
    typeof value.detail === "string"
  );
}
