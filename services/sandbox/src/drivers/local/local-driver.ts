import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { closeSync, existsSync, openSync } from "node:fs";
import { mkdir, open, readFile, rm, stat, unlink } from "node:fs/promises";
import { Socket } from "node:net";
import { join, resolve } from "node:path";
import type { Readable } from "node:stream";
import { create } from "@bufbuild/protobuf";
import { SandboxSpecSchema } from "@sandgate/api/sandbox";
import { stageEtc } from "../etc-files.ts";
import { replaceFile, SandboxDirectories, type SandboxOwner, type SandboxPaths } from "../sandbox-directories.ts";
import {
  type DriverExit,
  DriverRefusal,
  type DriverSandbox,
  type Isolation,
  type SandboxDriver,
  type SandboxEndpoints,
  type SandboxStart,
} from "../sandbox-driver.ts";
import { type SupervisorSettings, serviceCaName, supervisorConfig } from "../supervisor-config.ts";
import { Turns } from "../turns.ts";
import {
  countsProcessesPerSandbox,
  describeIsolation,
  type MachineFacts,
  readMachineFacts,
  type Trial,
} from "./local-isolation.ts";
import { inside, outerCommand, type SupervisorFiles, startedDescriptor } from "./outer-sandbox.ts";
import { type BorderProcess, findBorderProcesses, findSupervisor, isAlive, processLabel } from "./sandbox-processes.ts";
import { stageSupervisorFiles } from "./supervisor-files.ts";

/** What a local driver needs. */
export interface LocalDriverOptions {
  /** Durable; it identifies this driver's sandboxes on the machine. */
  readonly stateDirectory: string;
  /** For sockets; its path has to be short. */
  readonly runtimeDirectory: string;
  readonly files: SupervisorFiles;
  readonly settings: SupervisorSettings;
  /** As root: the uids (and gids) that sandboxes get, one each; default 200000 to 265535. Without root there is no choice. */
  readonly uidRange?: { readonly first: number; readonly count: number };
  /** As root: the egress proxy's uid, which must be able to make its sockets. */
  readonly egressUid?: number;
  /** How often the end of a sandbox is looked for that an earlier run of this program started; default 500 ms. */
  readonly adoptedCheckMs?: number;
  /** How long after a start the next spare sandbox is made, so that it takes no time from what was started; default 120 ms. */
  readonly spareDelayMs?: number;
}

/** A sandbox that is set up; its supervisor waits, without an identity, to be told to start. */
interface Spare {
  readonly sandboxId: string;
  /** Undefined while it is being made. */
  child?: ChildProcess;
}

const removalTimeoutMs = 15_000;

/** Runs sandboxes on this machine with bubblewrap, as root (each under a uid of its own) or as an ordinary user. */
export class LocalDriver implements SandboxDriver {
  readonly name = "local";
  readonly #options: LocalDriverOptions;
  readonly #directories: SandboxDirectories;
  readonly #driverKey: string;
  readonly #separateUids: boolean;
  /** Calls for one sandbox are done one after the other. */
  readonly #turns = new Turns();
  readonly #listeners = new Set<(exit: DriverExit) => void>();
  /** Whose end somebody asked for. */
  readonly #expected = new Set<string>();
  /** What stands for the sandboxes that an earlier run of this program started, by pid: their end is looked for. */
  readonly #watched = new Map<number, BorderProcess>();
  /** Supervisors that wait in sandboxes whose ids were taken. */
  readonly #waiting = new Map<string, ChildProcess>();
  /** The sandbox whose id can be taken. */
  #spare: Spare | undefined;
  #newSandboxId: (() => string) | undefined;
  #refill: NodeJS.Timeout | undefined;
  #adoption: NodeJS.Timeout | undefined;
  #ready: Promise<{ facts: MachineFacts; files: SupervisorFiles; etcDirectory: string }> | undefined;
  #isolation: Promise<Isolation> | undefined;

  constructor(options: LocalDriverOptions) {
    const state = resolve(options.stateDirectory);
    this.#options = { ...options, stateDirectory: state, runtimeDirectory: resolve(options.runtimeDirectory) };
    this.#separateUids = process.getuid?.() === 0;
    this.#driverKey = createHash("sha256").update(state).digest("hex").slice(0, 12);
    this.#directories = new SandboxDirectories({
      stateDirectory: state,
      runtimeDirectory: this.#options.runtimeDirectory,
      uidRange: this.#separateUids ? (options.uidRange ?? { first: 200_000, count: 65_536 }) : undefined,
      egressUid: this.#separateUids ? options.egressUid : undefined,
    });
  }

  async isolation(): Promise<Isolation> {
    this.#isolation ??= this.#examine();
    const isolation = await this.#isolation;
    // A refusal can be mended while this program runs.
    if (isolation.refusal !== undefined) this.#isolation = undefined;
    return isolation;
  }

  keepSpare(newSandboxId: () => string): void {
    this.#newSandboxId = newSandboxId;
    this.#refillAfter(0);
  }

  takeSpare(): string | undefined {
    const { sandboxId, child } = this.#spare ?? {};
    if (sandboxId === undefined || child === undefined) return undefined;
    this.#spare = undefined;
    this.#waiting.set(sandboxId, child);
    return sandboxId;
  }

  prepare(sandboxId: string): Promise<SandboxEndpoints> {
    return this.#turns.take(sandboxId, async () => {
      const { paths, owner } = await this.#prepare(sandboxId);
      const endpoints = { controlDirectory: paths.control, egressDirectory: paths.egress };
      return owner === undefined ? endpoints : { ...endpoints, owner };
    });
  }

  start(start: SandboxStart): Promise<void> {
    return this.#turns
      .take(start.sandboxId, async () => {
        const { sandboxId, incarnation } = start;
        const waiting = this.#waiting.get(sandboxId);
        if (waiting === undefined && (await this.#hasStarted(start))) return;
        const { refusal } = await this.isolation();
        if (refusal !== undefined) throw new DriverRefusal(refusal.fault, refusal.mend);
        if (waiting === undefined || incarnation !== spareIncarnation) await this.#end(sandboxId);
        const { paths, owner } = await this.#prepare(sandboxId);
        await this.#writeConfig(start, paths, owner);
        await this.#directories.writeForSupervisor(join(paths.bootstrap, "token"), start.bootstrapToken, owner);
        this.#expected.delete(sandboxId);
        const record = JSON.stringify({ incarnation: String(incarnation) });
        if (this.#waiting.delete(sandboxId) && waiting !== undefined && (await tellToStart(waiting))) {
          // Only now: without it, whoever finds the supervisor after our death knows that it was never told.
          await replaceFile(paths.record, record);
        } else {
          await this.#end(sandboxId);
          await replaceFile(paths.record, record);
          await this.#launch({ sandboxId, incarnation, paths, owner });
        }
      })
      .finally(() => this.#refillAfter(this.#options.spareDelayMs ?? 120));
  }

  stop({ sandboxId, graceMs }: { readonly sandboxId: string; readonly graceMs: number }): Promise<void> {
    return this.#turns.take(sandboxId, async () => {
      this.#expected.add(sandboxId);
      const processes = this.#find(sandboxId);
      const supervisors = processes.filter(({ role }) => role === "init").map(findSupervisor);
      for (const pid of supervisors) if (pid !== undefined) signal(pid, "SIGTERM");
      if (supervisors.some((pid) => pid !== undefined)) await this.#waitForEnd(processes, graceMs);
      await this.#end(sandboxId);
    });
  }

  destroy(sandboxId: string): Promise<void> {
    return this.#turns.take(sandboxId, async () => {
      await this.#end(sandboxId);
      await this.#directories.remove(sandboxId);
      this.#expected.delete(sandboxId);
    });
  }

  async list(): Promise<readonly DriverSandbox[]> {
    const processes = findBorderProcesses({
      driverKey: this.#driverKey,
      isOwner: (uid) => this.#directories.isOwner(uid),
    });
    const ids = new Set([...(await this.#directories.list()), ...processes.map(({ sandboxId }) => sandboxId)]);
    if (this.#spare !== undefined) ids.delete(this.#spare.sandboxId);
    return Promise.all(
      [...ids].map(async (sandboxId): Promise<DriverSandbox> => {
        const inits = processes.filter((each) => each.sandboxId === sandboxId && each.role === "init");
        const recorded = await this.#directories.readIncarnation(sandboxId);
        const incarnation = inits[0]?.incarnation ?? recorded;
        const running = inits.length > 0 && recorded !== undefined; // a supervisor that waits has not been started
        return incarnation === undefined ? { sandboxId, running } : { sandboxId, running, incarnation };
      }),
    );
  }

  async shareAuthorities(): Promise<void> {
    await Promise.all(
      [...(await this.#directories.list())].map((sandboxId) =>
        this.#turns.take(sandboxId, async () => {
          const { control } = this.#directories.pathsOf(sandboxId);
          if (existsSync(control)) await this.#giveAuthorities(control);
        }),
      ),
    );
  }

  processDirectory(sandboxId: string): string {
    return this.#directories.pathsOf(sandboxId).log;
  }

  onExit(listener: (exit: DriverExit) => void): () => void {
    this.#listeners.add(listener);
    this.#adopt();
    this.#adoption ??= setInterval(() => this.#lookForEnds(), this.#options.adoptedCheckMs ?? 500).unref();
    return () => {
      this.#listeners.delete(listener);
    };
  }

  async close(): Promise<void> {
    clearInterval(this.#adoption);
    this.#adoption = undefined;
    this.#listeners.clear();
    clearTimeout(this.#refill);
    this.#newSandboxId = undefined;
    await this.#turns.ended();
    if (this.#spare !== undefined) await this.destroy(this.#spare.sandboxId);
  }

  async #prepare(sandboxId: string): Promise<{ paths: SandboxPaths; owner: SandboxOwner | undefined }> {
    const prepared = await this.#directories.prepare(sandboxId);
    await this.#giveAuthorities(prepared.paths.control);
    return prepared;
  }

  /** Copies whom to trust as a service into a control directory, which a sandbox's processes can read and not write. */
  async #giveAuthorities(control: string): Promise<void> {
    const pem = await readFile(this.#options.settings.serviceCaFile, "utf8");
    await replaceFile(join(control, serviceCaName), pem, 0o644);
  }

  /** Whether this incarnation, or a later one, runs. A supervisor that waits has no record of a start. */
  async #hasStarted({ sandboxId, incarnation }: SandboxStart): Promise<boolean> {
    const runs = this.#find(sandboxId).some((each) => each.role === "init" && each.incarnation >= incarnation);
    return runs && ((await this.#directories.readIncarnation(sandboxId)) ?? 0n) >= incarnation;
  }

  #refillAfter(delayMs: number): void {
    if (this.#newSandboxId === undefined) return;
    clearTimeout(this.#refill);
    this.#refill = setTimeout(() => void this.#makeSpare(), delayMs).unref();
  }

  /** Makes a spare sandbox unless there is one. It is no fault where that fails: the next start says why. */
  async #makeSpare(): Promise<void> {
    const sandboxId = this.#newSandboxId?.();
    if (sandboxId === undefined || this.#spare !== undefined) return;
    const spare: Spare = { sandboxId };
    this.#spare = spare;
    try {
      await this.#turns.take(sandboxId, async () => {
        const { refusal } = await this.isolation();
        if (refusal !== undefined) throw new DriverRefusal(refusal.fault, refusal.mend);
        const { paths, owner } = await this.#prepare(sandboxId);
        const incarnation = spareIncarnation;
        await this.#writeConfig(
          { sandboxId, incarnation, name: sandboxId, spec: create(SandboxSpecSchema) },
          paths,
          owner,
        );
        const child = await this.#launch({ sandboxId, incarnation, paths, owner, waits: true });
        child.once("exit", () => {
          this.#waiting.delete(sandboxId);
          if (this.#spare === spare) this.#discardSpare();
        });
        spare.child = child;
      });
    } catch {
      this.#discardSpare();
    }
  }

  #discardSpare(): void {
    const sandboxId = this.#spare?.sandboxId;
    this.#spare = undefined;
    if (sandboxId !== undefined) this.destroy(sandboxId).catch(() => {}); // the next sweep finds what is left of it
  }

  async #examine(): Promise<Isolation> {
    const { facts } = await this.#prepareMachine();
    const trial: Trial = facts.bubblewrap === undefined ? { kind: "fails", output: "" } : await this.#tryOut();
    return describeIsolation(facts, trial);
  }

  /** Runs an outer and a nested sandbox of the kind that sandboxes get. */
  async #tryOut(): Promise<Trial> {
    const root = join(this.#options.stateDirectory, `trial-${randomBytes(6).toString("hex")}`);
    const { files, etcDirectory } = await this.#prepareMachine();
    const range = this.#options.uidRange ?? { first: 200_000 };
    const owner = this.#separateUids ? { uid: range.first, gid: range.first } : undefined;
    const within = (name: string): string => join(root, name);
    const paths = {
      bootstrap: within("bootstrap"),
      workspace: within("workspace"),
      temporary: within("tmp"),
      log: within("log"),
      control: within("control"),
      egress: within("egress"),
    };
    try {
      await mkdir(root, { mode: 0o711 });
      for (const path of Object.values(paths)) await mkdir(path);
      const nested = [
        ...["bwrap", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--ro-bind", "/usr", "/usr"],
        ...["--ro-bind-try", "/bin", "/bin", "--ro-bind-try", "/lib", "/lib", "--ro-bind-try", "/lib64", "/lib64"],
        ...["--proc", "/proc", "--dev", "/dev", "true"],
      ];
      const { file, args } = outerCommand({
        label: "sandgate:trial",
        paths,
        files,
        etcDirectory,
        owner,
        command: nested,
      });
      return await new Promise<Trial>((resolve) => {
        const child = spawn(file, args, {
          stdio: ["ignore", "ignore", "pipe", "ignore"],
          env: programPath,
          timeout: 10_000,
        });
        let output = "";
        child.stderr?.on("data", (chunk: Buffer) => {
          output = (output + chunk.toString("utf8")).slice(-2_000);
        });
        child.once("error", (error) => resolve({ kind: "fails", output: error.message }));
        child.once("close", (code) => resolve(code === 0 ? { kind: "works" } : { kind: "fails", output }));
      });
    } finally {
      await rm(root, { recursive: true, force: true });
    }
  }

  #prepareMachine(): Promise<{ facts: MachineFacts; files: SupervisorFiles; etcDirectory: string }> {
    const prepare = async () => {
      const { stateDirectory, files } = this.#options;
      await this.#directories.open();
      const [facts, etcDirectory, staged] = await Promise.all([
        readMachineFacts(this.#separateUids),
        stageEtc(stateDirectory),
        this.#separateUids ? stageSupervisorFiles({ files, stateDirectory }) : files,
      ]);
      return { facts, files: staged, etcDirectory };
    };
    this.#ready ??= prepare().catch((cause: unknown) => {
      this.#ready = undefined;
      throw cause;
    });
    return this.#ready;
  }

  async #writeConfig(
    start: Omit<SandboxStart, "bootstrapToken">,
    paths: SandboxPaths,
    owner: SandboxOwner | undefined,
  ): Promise<void> {
    const { facts } = await this.#prepareMachine();
    const { stateDirectory, runtimeDirectory, settings } = this.#options;
    const config = supervisorConfig({
      start,
      settings,
      workspace: inside.workspace,
      temporary: inside.temporary,
      limitProcesses: countsProcessesPerSandbox(facts),
      unreachablePaths: [
        stateDirectory,
        join(stateDirectory, "sandboxes"),
        runtimeDirectory,
        paths.root,
        paths.control,
        paths.egress,
      ],
    });
    await this.#directories.writeForSupervisor(join(paths.bootstrap, "config.json"), config, owner);
  }

  async #launch(options: {
    readonly sandboxId: string;
    readonly incarnation: bigint;
    readonly paths: SandboxPaths;
    readonly owner: SandboxOwner | undefined;
    /** Whether the supervisor is to wait until it is told to start, and to end when we do before. */
    readonly waits?: boolean;
  }): Promise<ChildProcess> {
    const { sandboxId, incarnation, paths, owner, waits = false } = options;
    const { files, etcDirectory } = await this.#prepareMachine();
    const label = processLabel({ driverKey: this.#driverKey, sandboxId, incarnation });
    const command = [
      inside.runtime,
      "--disable-sigusr1",
      "--max-semi-space-size=8",
      inside.supervisor,
      `${inside.bootstrap}/config.json`,
      ...(waits ? ["--wait"] : []),
    ];
    const outer = outerCommand({ label, paths, files, etcDirectory, owner, command });
    await unlink(paths.supervisorLog).catch(() => {}); // the earlier incarnation's, if there was one
    const log = openSync(paths.supervisorLog, "ax", 0o600);
    let child: ChildProcess;
    try {
      // Detached, with files for its streams: it lives on when this program ends.
      child = spawn(outer.file, outer.args, {
        detached: true,
        stdio: [waits ? "pipe" : "ignore", log, log, "pipe"],
        env: programPath,
        cwd: "/",
      });
    } finally {
      closeSync(log);
    }
    child.unref();
    if (child.stdin instanceof Socket) child.stdin.unref();
    const started = child.stdio[startedDescriptor] as Readable; // spawned as "pipe"
    const fault = await new Promise<string | undefined>((resolve) => {
      started.once("data", () => resolve(undefined));
      child.once("error", (error) => resolve(error.message));
      child.once("exit", () => resolve("it ended before it ran"));
    });
    started.destroy();
    if (fault !== undefined) {
      const words = await readLastWords(paths.supervisorLog);
      throw new Error(`the sandbox could not be set up: ${words === "" ? fault : words}`);
    }
    const onExit = (code: number | null, signal: NodeJS.Signals | null): void => {
      void this.#tell({ sandboxId, incarnation, exit: { code: code ?? 0, signal: signal ?? "" } });
    };
    if (child.exitCode !== null || child.signalCode !== null) onExit(child.exitCode, child.signalCode);
    else child.once("exit", onExit);
    return child;
  }

  /** Kills every process of a sandbox and waits until none is left. */
  async #end(sandboxId: string): Promise<void> {
    const since = performance.now();
    for (;;) {
      const processes = this.#find(sandboxId);
      if (processes.length === 0) return;
      if (performance.now() - since > removalTimeoutMs) throw new Error("a sandbox's processes do not end");
      this.#expected.add(sandboxId);
      // The init takes everything in its namespace with it; the keeper alone would leave that behind.
      const inits = processes.filter(({ role }) => role === "init");
      for (const { pid } of inits.length > 0 ? inits : processes) signal(pid, "SIGKILL");
      await this.#waitForEnd(processes, 1_000);
    }
  }

  async #waitForEnd(processes: readonly BorderProcess[], timeoutMs: number): Promise<void> {
    const until = performance.now() + timeoutMs;
    for (let pauseMs = 2; processes.some(isAlive) && performance.now() < until; pauseMs = Math.min(pauseMs * 1.5, 50))
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }

  #find(sandboxId: string): readonly BorderProcess[] {
    const { driverKey, isOwner } = {
      driverKey: this.#driverKey,
      isOwner: (uid: number) => this.#directories.isOwner(uid),
    };
    return findBorderProcesses({ driverKey, sandboxId, isOwner });
  }

  /** Watches the sandboxes that an earlier run of this program started. */
  #adopt(): void {
    const isOwner = (uid: number): boolean => this.#directories.isOwner(uid);
    const processes = findBorderProcesses({ driverKey: this.#driverKey, isOwner });
    for (const each of processes) {
      // Where somebody killed the keeper, its init stands for the sandbox.
      const hasKeeper = processes.some(({ role, sandboxId }) => role === "keeper" && sandboxId === each.sandboxId);
      if (each.role === "keeper" || !hasKeeper) this.#watched.set(each.pid, each);
    }
  }

  #lookForEnds(): void {
    for (const process of this.#watched.values()) {
      const hasEnded = !isAlive(process) || (process.role === "init" && findSupervisor(process) === undefined);
      if (!hasEnded) continue;
      this.#watched.delete(process.pid);
      void this.#tell({ sandboxId: process.sandboxId, incarnation: process.incarnation });
    }
  }

  async #tell(exit: Pick<DriverExit, "sandboxId" | "incarnation" | "exit">): Promise<void> {
    const { sandboxId, incarnation } = exit;
    // The keeper ends a moment before the last process of the sandbox; where somebody killed the keeper alone, the sandbox goes on.
    const rest = this.#find(sandboxId).filter((each) => each.incarnation === incarnation);
    // A process that was just being started when the supervisor died is not yet bound to its end, and would keep the init alive.
    for (const each of rest)
      if (each.role === "init" && findSupervisor(each) === undefined) signal(each.pid, "SIGKILL");
    await this.#waitForEnd(rest, 2_000);
    const survivor = rest.find(isAlive);
    if (survivor !== undefined) this.#watched.set(survivor.pid, survivor);
    if (survivor !== undefined || this.#expected.has(sandboxId)) return;
    const lastWords = await readLastWords(this.#directories.pathsOf(sandboxId).supervisorLog);
    const told = { sandboxId, incarnation, lastWords, ...(exit.exit === undefined ? {} : { exit: exit.exit }) };
    for (const listener of this.#listeners) listener(told);
  }
}

/** A new sandbox's first. */
const spareIncarnation = 1n;

/** Whether a supervisor that waits has been told to start; from then on it does not depend on us. */
async function tellToStart({ stdin }: ChildProcess): Promise<boolean> {
  if (stdin === null || stdin.destroyed) return false;
  return new Promise((resolve) => {
    stdin.once("error", () => resolve(false));
    stdin.end("start\n", () => resolve(!stdin.errored));
  });
}

const programPath = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" };

async function readLastWords(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    const file = await open(path, "r");
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(2_048), 0, 2_048, Math.max(0, size - 2_048));
      return buffer.toString("utf8", 0, bytesRead).trim();
    } finally {
      await file.close();
    }
  } catch {
    return ""; // it never came to write any
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (cause) {
    if (!(cause instanceof Error && "code" in cause && cause.code === "ESRCH")) throw cause; // it has ended: nothing to do
  }
}
