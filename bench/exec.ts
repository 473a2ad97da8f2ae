import { createHash, randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { OutputOverflow, SandboxService } from "@sandgate/api/sandbox";
import { type Client, createClient, createHttp2Channel } from "@sandgate/rpc";
import { type ClientFile, readClientFile } from "../services/cli/src/client-file.ts";
import { processTree } from "../services/cli/src/suite/process-identity.ts";
import { type Benchmark, medianOf } from "./benchmark.ts";
import { createBenchSuite } from "./suite/bench-suite.ts";

const warmUpRounds = 5;
const outputBytes = 200 * 1024 * 1024;
/** What it is printed by, and what it must hash to. */
const outputCommand = ["sh", "-c", `yes 0123456789abcdef0123456789abcde | head -c ${outputBytes}`];
const outputLine = "0123456789abcdef0123456789abcde\n";

type Sandbox = Client<typeof SandboxService>;

/** How long a command takes in a sandbox that is READY, and how 200 MiB of its output come out. */
export const benchmark: Benchmark = {
  defaultRounds: 100,
  async run({ rounds, onProgress }) {
    const suite = createBenchSuite();
    try {
      await suite.sandgate("up", "--json");
      await suite.sandgate("create", "bench", "--json");
      const channel = dial(readClientFile(join(suite.directory, "client.json")));
      const client = createClient(SandboxService, channel);
      const [execMs, processMs]: [number[], number[]] = [[], []];
      for (let round = 1 - warmUpRounds; round <= rounds; round++) {
        const [exec, process] = [await timed(() => exec_(client)), await timed(() => startAndAttach(client))];
        if (round < 1) continue;
        execMs.push(exec);
        processMs.push(process);
      }
      onProgress(
        `exec ${medianOf(execMs).toFixed(1)} ms, started and attached to ${medianOf(processMs).toFixed(1)} ms`,
      );
      const [memory, controlPlane] = [supervisorPeaks(suite.directory), programPeak(suite.directory)];
      const output = await readOutput(client);
      const grown = supervisorPeaks(suite.directory).map((peak, index) => peak - (memory[index] ?? 0));
      const grownMiB = Math.max(...grown, 0) / 1024 / 1024;
      const controlMiB = (programPeak(suite.directory) - controlPlane) / 1024 / 1024;
      channel.close();
      const mibps = outputBytes / 1024 / 1024 / (output.tookMs / 1_000);
      return {
        title: "Commands in a sandbox",
        method: `\`true\` in a READY sandbox by ExecSandbox, and by StartProcess and AttachProcess, each ${rounds} times one after the other over one connection; then ${outputBytes / 1024 / 1024} MiB of output by AttachProcess, whose hash must be right, with how much the peak of the programs' resident memory has grown by it.`,
        columns: ["p50", "p90"],
        rows: [
          { name: "`true` by ExecSandbox", cells: cells(execMs) },
          { name: "`true` by StartProcess and AttachProcess", cells: cells(processMs) },
          { name: "200 MiB of output", cells: [`${mibps.toFixed(0)} MiB/s`, ""] },
          { name: "- the supervisor's memory, more", cells: [`${grownMiB.toFixed(0)} MiB`, ""] },
          { name: "- the control plane's memory, more", cells: [`${controlMiB.toFixed(0)} MiB`, ""] },
        ],
        limits: [
          { name: "`true` by ExecSandbox, p50 in ms", measured: medianOf(execMs), limit: 15 },
          { name: "200 MiB of output, bytes that are wrong", measured: output.wrong, limit: 0 },
          { name: "200 MiB of output, MiB more of the supervisor", measured: grownMiB, limit: 64 },
          { name: "200 MiB of output, MiB more of the control plane", measured: controlMiB, limit: 128 },
        ],
      };
    } finally {
      await suite.remove();
    }
  },
};

function dial(file: ClientFile) {
  const read = (path: string) => readFileSync(path, "utf8");
  const { operator, serviceCa } = file;
  if (operator === undefined) throw new Error("there is no operator's certificate");
  const ca = "pem" in serviceCa ? serviceCa.pem : read(serviceCa.file);
  const tls = { ca, cert: read(operator.certificateFile), key: read(operator.keyFile) };
  const serverName = `sandbox.${file.trustDomain}`;
  return createHttp2Channel({ address: file.addresses.sandbox, serverName, tls: () => tls });
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

async function exec_(client: Sandbox): Promise<void> {
  async function* requests() {
    yield { sandbox: "bench", message: { case: "start" as const, value: { command: ["true"] } } };
  }
  for await (const { output } of client.execSandbox(requests()))
    if (output?.output.case === "exit" && output.output.value.code === 0) return;
  throw new Error("the command did not end well");
}

async function startAndAttach(client: Sandbox): Promise<void> {
  const processId = await start(client, ["true"]);
  for await (const event of attach(client, processId)) if (event.case === "end" && event.value.exit?.code === 0) return;
  throw new Error("the command did not end well");
}

async function start(client: Sandbox, command: string[]): Promise<string> {
  const { process } = await client.startProcess({
    sandbox: "bench",
    requestId: randomUUID(),
    start: { command },
    limits: { outputOverflow: OutputOverflow.WAIT, keptOutputBytes: BigInt(16 * 1024 * 1024) },
  });
  return process?.processId ?? "";
}

/** Follows a process, and acknowledges what it has. */
async function* attach(client: Sandbox, processId: string) {
  let acknowledge = Promise.withResolvers<bigint>();
  async function* requests() {
    yield { sandbox: "bench", message: { case: "attach" as const, value: { processId } } };
    for (;;) {
      const offset = await acknowledge.promise;
      acknowledge = Promise.withResolvers();
      yield { message: { case: "acknowledgedOffset" as const, value: offset } };
    }
  }
  for await (const { event } of client.attachProcess(requests())) {
    yield event;
    if (event.case === "output") acknowledge.resolve(event.value.offset + BigInt(event.value.data.length));
  }
}

/** Reads all the output. Answers how many bytes are missing, too many or, where the hash differs, all of them. */
async function readOutput(client: Sandbox): Promise<{ readonly tookMs: number; readonly wrong: number }> {
  const expected = createHash("sha256");
  const block = Buffer.from(outputLine.repeat((1024 * 1024) / outputLine.length));
  for (let bytes = 0; bytes < outputBytes; bytes += block.length) expected.update(block);
  const read = createHash("sha256");
  let bytes = 0;
  const startedAt = performance.now();
  const processId = await start(client, outputCommand);
  for await (const event of attach(client, processId)) {
    if (event.case !== "output") continue;
    read.update(event.value.data);
    bytes += event.value.data.length;
  }
  const tookMs = performance.now() - startedAt;
  if (bytes !== outputBytes) return { tookMs, wrong: Math.abs(outputBytes - bytes) };
  return { tookMs, wrong: read.digest("hex") === expected.digest("hex") ? 0 : bytes };
}

function cells(values: readonly number[]): string[] {
  const sorted = [...values].sort((a, b) => a - b);
  const p90 = sorted[Math.floor(sorted.length * 0.9)] ?? Number.NaN;
  return [medianOf(values), p90].map((value) => `${value.toFixed(1)} ms`);
}

/** The most resident memory of each supervisor of the suite's sandboxes, in the order of their pids. */
function supervisorPeaks(directory: string): readonly number[] {
  const roots = pidsNaming(directory);
  const inside = [...new Set(roots.flatMap(processTree))].sort((one, other) => one - other);
  return inside.filter((pid) => /^\/opt\/sandgate\/.*supervisor\.mjs/s.test(commandLineOf(pid))).map(peakOf);
}

function programPeak(directory: string): number {
  return Math.max(
    ...pidsNaming(directory)
      .filter((pid) => commandLineOf(pid).includes("all-in-one"))
      .map(peakOf),
  );
}

function pidsNaming(directory: string): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && commandLineOf(Number(name)).includes(directory))
    .map(Number);
}

function commandLineOf(pid: number): string {
  try {
    return readFileSync(join("/proc", String(pid), "cmdline"), "utf8");
  } catch {
    return ""; // it has just ended
  }
}

function peakOf(pid: number): number {
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1024;
}
