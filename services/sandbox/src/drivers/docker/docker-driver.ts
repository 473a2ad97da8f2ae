import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { chown, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { arch } from "node:os";
import { join, resolve } from "node:path";
import type { SandboxSpec } from "@sandgate/api/sandbox";
import { replaceFile, SandboxDirectories, type SandboxPaths } from "../sandbox-directories.ts";
import {
  type DriverExit,
  DriverRefusal,
  type DriverSandbox,
  type Isolation,
  type SandboxDriver,
  type SandboxEndpoints,
  type SandboxStart,
} from "../sandbox-driver.ts";
import { insideDirectories, type SupervisorSettings, serviceCaName, supervisorConfig } from "../supervisor-config.ts";
import { Turns } from "../turns.ts";
import { type ContainerLimits, containerOptions, labels, workloadUser } from "./container-options.ts";
import { chooseRuntimes, describeIsolation, findEngineRefusal, type MinimumIsolation } from "./docker-isolation.ts";
import { Engine, EngineFault } from "./engine.ts";
import { findImageFault, type ImageFacts, isAllowedImage, readImageFacts, workloadVariables } from "./image-facts.ts";
import { type SupervisorBundle, type SupervisorFiles, stageSupervisorBundle } from "./supervisor-bundle.ts";
import { parseTrialReport, type TrialFault, type TrialReport, trialScript } from "./trial-script.ts";

/** What a Docker driver needs. */
export interface DockerDriverOptions {
  /** Durable; it identifies this driver's sandboxes among the engine's containers. */
  readonly stateDirectory: string;
  /** For sockets; its path has to be short. */
  readonly runtimeDirectory: string;
  readonly files: SupervisorFiles;
  readonly settings: SupervisorSettings;
  /** The engine's. */
  readonly socket: string;
  /** Of sandboxes that ask for none; also the trial's. */
  readonly defaultImage: string;
  /** Beside it: names, or beginnings of names with a `*` behind. */
  readonly allowedImages: readonly string[];
  readonly minimumIsolation: MinimumIsolation;
  /** Of every container; the limits of a sandbox's spec apply beside them. */
  readonly limits: Omit<ContainerLimits, "processes" | "openFiles">;
  /** The egress proxy's uid, which must be able to make its sockets. */
  readonly egressUid?: number;
  /** How long the engine may take to answer; default 20 s. */
  readonly engineDeadlineMs?: number;
  /** How long after the events broke off they are asked for again; default 1 s. */
  readonly watchPauseMs?: number;
}

/** A container of ours, as the engine lists it. */
interface OwnContainer {
  readonly id: string;
  readonly sandboxId: string;
  readonly incarnation: bigint;
  readonly running: boolean;
}

/** Runs sandboxes as containers of a Docker-compatible engine, each from an image that the operator allows. */
export class DockerDriver implements SandboxDriver {
  readonly name = "docker";
  readonly #options: DockerDriverOptions;
  readonly #engine: Engine;
  readonly #directories: SandboxDirectories;
  readonly #driverKey: string;
  /** Calls for one sandbox are done one after the other. */
  readonly #turns = new Turns();
  readonly #listeners = new Set<(exit: DriverExit) => void>();
  /** Containers that run, as far as we know, by their ids: the end of each is told once. */
  readonly #running = new Map<string, OwnContainer>();
  readonly #closing = new AbortController();
  #watching: Promise<void> | undefined;
  #bundle: Promise<SupervisorBundle> | undefined;
  #isolation: Promise<Isolation> | undefined;
  /** What was tried with success: the runtime; and whether it filtered system calls. */
  #runtime: string | undefined;
  #filtered = false;

  constructor(options: DockerDriverOptions) {
    const stateDirectory = resolve(options.stateDirectory);
    this.#options = { ...options, stateDirectory, runtimeDirectory: resolve(options.runtimeDirectory) };
    this.#engine = new Engine({ socket: options.socket, deadlineMs: options.engineDeadlineMs ?? 20_000 });
    this.#driverKey = createHash("sha256").update(stateDirectory).digest("hex").slice(0, 12);
    this.#directories = new SandboxDirectories({
      stateDirectory,
      runtimeDirectory: this.#options.runtimeDirectory,
      uidRange: undefined,
      egressUid: options.egressUid,
    });
  }

  async isolation(): Promise<Isolation> {
    this.#isolation ??= this.#examine();
    const examining = this.#isolation;
    const isolation = await examining;
    // A refusal can be mended while this program runs.
    if (isolation.refusal !== undefined && this.#isolation === examining) this.#isolation = undefined;
    return isolation;
  }

  findImageFault(image: string): string | undefined {
    const { allowedImages, defaultImage } = this.#options;
    return isAllowedImage(image, [defaultImage, ...allowedImages])
      ? undefined
      : "is not an image that the operator allows";
  }

  prepare(sandboxId: string): Promise<SandboxEndpoints> {
    return this.#turns.take(sandboxId, async () => {
      const paths = await this.#prepare(sandboxId);
      return { controlDirectory: paths.control, egressDirectory: paths.egress };
    });
  }

  start(start: SandboxStart): Promise<void> {
    return this.#turns.take(start.sandboxId, async () => {
      const { sandboxId, incarnation } = start;
      const present = await this.#containersOf(sandboxId);
      if (present.some((each) => each.running && each.incarnation >= incarnation)) return;
      const { refusal } = await this.isolation();
      if (refusal !== undefined) throw new DriverRefusal(refusal.fault, refusal.mend);
      const image = await this.#findImage(start.spec);
      for (const each of present) await this.#remove(each);
      const paths = await this.#prepare(sandboxId);
      const bundle = await this.#stage();
      const limits = this.#limitsOf(start.spec);
      await this.#writeConfig(start, paths, image);
      await this.#directories.writeForSupervisor(join(paths.bootstrap, "token"), start.bootstrapToken, undefined);
      await replaceFile(paths.record, JSON.stringify({ incarnation: String(incarnation) }));
      const options = containerOptions({
        name: `sandgate-${sandboxId}`,
        hostName: start.name,
        labels: this.#labelsOf(sandboxId, incarnation),
        image,
        runtime: this.#runtime,
        bundle,
        command: [bundle.inside.supervisor, `${insideDirectories.bootstrap}/config.json`],
        paths,
        limits,
      });
      const { id } = await this.#engine.ask("create a container", (docker, abortSignal) =>
        docker.createContainer({ ...options, abortSignal }),
      );
      const container: OwnContainer = { id, sandboxId, incarnation, running: true };
      try {
        await this.#engine.ask("start a container", (docker, abortSignal) =>
          docker.getContainer(id).start({ abortSignal }),
        );
      } catch (cause) {
        await this.#remove(container).catch(() => {}); // the sweep finds what is left of it
        throw cause;
      }
      this.#running.set(id, container);
      // It may have ended before its end could be told of one that runs.
      const state = await this.#engine.find("inspect a container", (docker, abortSignal) =>
        docker.getContainer(id).inspect({ abortSignal }),
      );
      if (state?.State.Running !== true) await this.#noteEnd(id);
    });
  }

  stop({ sandboxId, graceMs }: { readonly sandboxId: string; readonly graceMs: number }): Promise<void> {
    return this.#turns.take(sandboxId, async () => {
      for (const each of await this.#containersOf(sandboxId)) {
        this.#running.delete(each.id);
        if (each.running) await this.#askToEnd(each.id, graceMs);
        await this.#remove(each);
      }
    });
  }

  destroy(sandboxId: string): Promise<void> {
    return this.#turns.take(sandboxId, async () => {
      this.#directories.pathsOf(sandboxId); // throws for what is no id
      for (const each of await this.#containersOf(sandboxId)) await this.#remove(each);
      await this.#directories.remove(sandboxId);
    });
  }

  async list(): Promise<readonly DriverSandbox[]> {
    const [containers, onDisk] = await Promise.all([this.#listContainers(), this.#directories.list()]);
    const ids = new Set([...onDisk, ...containers.map(({ sandboxId }) => sandboxId)]);
    return Promise.all(
      [...ids].map(async (sandboxId): Promise<DriverSandbox> => {
        const running = containers.find((each) => each.sandboxId === sandboxId && each.running);
        const incarnation = running?.incarnation ?? (await this.#directories.readIncarnation(sandboxId));
        const found = { sandboxId, running: running !== undefined };
        return incarnation === undefined ? found : { ...found, incarnation };
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
    this.#watching ??= this.#watch();
    return () => {
      this.#listeners.delete(listener);
    };
  }

  async close(): Promise<void> {
    this.#listeners.clear();
    this.#closing.abort();
    await Promise.allSettled([this.#turns.ended(), this.#watching]);
  }

  async #prepare(sandboxId: string): Promise<SandboxPaths> {
    const { paths } = await this.#directories.prepare(sandboxId);
    await chown(paths.workspace, workloadUser.uid, workloadUser.gid);
    await this.#giveAuthorities(paths.control);
    return paths;
  }

  /** Copies whom to trust as a service into a control directory, which a sandbox's processes cannot write. */
  async #giveAuthorities(control: string): Promise<void> {
    const pem = await readFile(this.#options.settings.serviceCaFile, "utf8");
    await replaceFile(join(control, serviceCaName), pem, 0o644);
  }

  async #examine(): Promise<Isolation> {
    const refused = (fault: string, mend: string): Isolation => ({
      guarantees: [],
      gaps: [],
      refusal: { fault, mend },
    });
    try {
      const info = await this.#engine.ask("information", (docker) => docker.info());
      const refusal = findEngineRefusal(info, process.getuid?.() === 0);
      if (refusal !== undefined) return refused(refusal.fault, refusal.mend);
      const choice = chooseRuntimes(info, this.#options.minimumIsolation);
      if ("refusal" in choice) return refused(choice.refusal.fault, choice.refusal.mend);
      const image = await this.#findImage(undefined);
      const limits = this.#limitsOf(undefined);
      let described = refused("no runtime could be tried", "sandgate doctor");
      for (const runtime of choice.runtimes) {
        const trial = await this.#tryOut({ image, limits, runtime });
        described = describeIsolation({ runtime, limits, trial, architecture: arch() });
        this.#runtime = runtime;
        this.#filtered = "seccomp" in trial && trial.seccomp;
        if (!("notStarted" in trial)) break; // else an engine offered what it does not have, as Podman does
      }
      return described;
    } catch (cause) {
      if (!(cause instanceof DriverRefusal)) throw cause;
      return refused(cause.message, cause.mend);
    }
  }

  /** Runs a container like a sandbox's, with a script in the place of the supervisor. */
  async #tryOut(options: {
    readonly image: ImageFacts;
    readonly limits: ContainerLimits;
    readonly runtime: string | undefined;
  }): Promise<TrialReport | TrialFault> {
    const name = `trial-${randomBytes(6).toString("hex")}`;
    const root = join(this.#options.stateDirectory, name);
    const at = (directory: string): string => join(root, directory);
    const paths = {
      bootstrap: at("bootstrap"),
      workspace: at("workspace"),
      log: at("log"),
      control: at("control"),
      egress: at("egress"),
    };
    await this.#directories.open();
    const bundle = await this.#stage();
    await mkdir(root, { mode: 0o700 });
    const server = createServer((socket) => socket.destroy());
    let id: string | undefined;
    try {
      for (const path of Object.values(paths)) await mkdir(path, { mode: 0o700 });
      await writeFile(join(paths.bootstrap, "trial"), "", { mode: 0o400 });
      // a socket's path must be short, whatever the state directory's is
      const socket = join(this.#options.runtimeDirectory, `${name}.sock`);
      await new Promise<void>((listening, failed) => server.once("error", failed).listen(socket, listening));
      await rename(socket, join(paths.control, "trial.sock"));
      const made = await this.#engine.ask("create a trial container", (docker, abortSignal) =>
        docker.createContainer({
          ...containerOptions({
            name: `sandgate-${name}`,
            hostName: "trial",
            labels: { [labels.suite]: this.#driverKey },
            bundle,
            command: ["-e", trialScript],
            paths,
            ...options,
          }),
          abortSignal,
        }),
      );
      id = made.id;
      await this.#engine.ask("start a trial container", (_, abortSignal) => made.start({ abortSignal }));
      await this.#engine.ask("wait for a trial container", (_, abortSignal) => made.wait({ abortSignal }), trialMs);
      const output = await this.#readLog(made.id);
      return parseTrialReport(output) ?? { fault: output.trim().slice(-300) };
    } catch (cause) {
      if (!(cause instanceof EngineFault && cause.kind === "refused")) throw cause;
      return { fault: reasonOf(cause), notStarted: true };
    } finally {
      server.close();
      if (id !== undefined) await this.#removeById(id);
      await rm(root, { recursive: true, force: true });
    }
  }

  #stage(): Promise<SupervisorBundle> {
    const { files, stateDirectory } = this.#options;
    this.#bundle ??= this.#directories
      .open()
      .then(() => stageSupervisorBundle({ files, stateDirectory }))
      .catch((cause: unknown) => {
        this.#bundle = undefined;
        throw cause;
      });
    return this.#bundle;
  }

  /** The image that a spec asks for, or the default one. Throws DriverRefusal where there is none that may be used. */
  async #findImage(spec: SandboxSpec | undefined): Promise<ImageFacts> {
    const { defaultImage } = this.#options;
    const name = spec === undefined || spec.image === "" ? defaultImage : spec.image;
    const fault = this.findImageFault(name);
    if (fault !== undefined)
      throw new DriverRefusal(`the image ${name} ${fault}`, "add it to driver.docker.allowed_images");
    const answer = await this.#engine.find("inspect an image", (docker) => docker.getImage(name).inspect());
    if (answer === undefined) throw new DriverRefusal(`the engine has no image ${name}`, `docker pull ${name}`);
    const image = readImageFacts(answer);
    const unusable = findImageFault(image);
    if (unusable !== undefined) throw new DriverRefusal(`${unusable} (${name})`, "build an image without that volume");
    return image;
  }

  #limitsOf(spec: SandboxSpec | undefined): ContainerLimits {
    const orDefault = (value: number | undefined, fallback: number): number =>
      value === undefined || value <= 0 ? fallback : value;
    return {
      ...this.#options.limits,
      processes: orDefault(spec?.limits?.processes, 256),
      openFiles: orDefault(spec?.limits?.openFiles, 4_096),
    };
  }

  async #writeConfig(start: SandboxStart, paths: SandboxPaths, image: ImageFacts): Promise<void> {
    const { stateDirectory, runtimeDirectory, settings, socket } = this.#options;
    const config = supervisorConfig({
      start,
      settings,
      workspace: "/workspace",
      temporary: "/tmp",
      environment: workloadVariables(image),
      limitProcesses: false, // the container's own limit counts
      boundary: { kind: "user", ...workloadUser, filtered: this.#filtered },
      unreachablePaths: [
        stateDirectory,
        join(stateDirectory, "sandboxes"),
        runtimeDirectory,
        paths.root,
        paths.control,
        paths.egress,
        socket,
      ],
    });
    await this.#directories.writeForSupervisor(join(paths.bootstrap, "config.json"), config, undefined);
  }

  #labelsOf(sandboxId: string, incarnation: bigint): Readonly<Record<string, string>> {
    return {
      [labels.suite]: this.#driverKey,
      [labels.sandbox]: sandboxId,
      [labels.incarnation]: String(incarnation),
    };
  }

  async #containersOf(sandboxId: string): Promise<readonly OwnContainer[]> {
    return (await this.#listContainers([`${labels.sandbox}=${sandboxId}`])).filter(
      (each) => each.sandboxId === sandboxId,
    );
  }

  async #listContainers(more: readonly string[] = []): Promise<readonly OwnContainer[]> {
    const filters = { label: [`${labels.suite}=${this.#driverKey}`, ...more] };
    const found = await this.#engine.ask("list containers", (docker, abortSignal) =>
      docker.listContainers({ all: true, filters, abortSignal }),
    );
    return found.flatMap((each) => {
      const place = readLabels(each.Labels);
      return place === undefined ? [] : { id: each.Id, running: each.State === "running", ...place };
    });
  }

  /** Asks a supervisor to end, and waits at most that long. */
  async #askToEnd(id: string, graceMs: number): Promise<void> {
    const ended = this.#engine
      .ask("wait for a container", (docker, abortSignal) => docker.getContainer(id).wait({ abortSignal }), graceMs)
      .catch(ignoreMissing);
    await this.#engine
      .ask("signal a container", (docker, abortSignal) =>
        docker.getContainer(id).kill({ signal: "SIGTERM", abortSignal }),
      )
      .catch(ignoreMissing);
    const timer = Promise.withResolvers<void>();
    const timeout = setTimeout(timer.resolve, graceMs);
    await Promise.race([ended, timer.promise]);
    clearTimeout(timeout);
  }

  async #remove({ id }: Pick<OwnContainer, "id">): Promise<void> {
    this.#running.delete(id);
    await this.#removeById(id);
  }

  async #removeById(id: string): Promise<void> {
    await this.#engine
      .ask("remove a container", (docker, abortSignal) =>
        docker.getContainer(id).remove({ force: true, v: true, abortSignal }),
      )
      .catch(ignoreMissing);
  }

  /** Follows the engine's events for ever; where they break off, looks at what has ended meanwhile. */
  async #watch(): Promise<void> {
    const { signal } = this.#closing;
    const label = `${labels.suite}=${this.#driverKey}`;
    while (!signal.aborted) {
      try {
        for await (const event of this.#engine.events({ label, signal })) {
          if (event === "open") await this.#lookForEnds();
          else if (event.action === "die") await this.#noteEnd(event.containerId);
        }
      } catch (cause) {
        if (!(cause instanceof EngineFault)) throw cause; // the engine is away: its containers may live on, and are looked for again
      }
      await pause(this.#options.watchPauseMs ?? 1_000, signal);
    }
  }

  /** Tells of every container that ran and does not any more, and learns of those that an earlier run started. */
  async #lookForEnds(): Promise<void> {
    const found = new Map((await this.#listContainers()).map((each) => [each.id, each]));
    for (const each of found.values()) if (each.running) this.#running.set(each.id, each);
    for (const id of [...this.#running.keys()]) if (found.get(id)?.running !== true) await this.#noteEnd(id);
  }

  async #noteEnd(id: string): Promise<void> {
    const container = this.#running.get(id);
    if (container === undefined || !this.#running.delete(id)) return;
    const { sandboxId, incarnation } = container;
    const [state, lastWords] = await Promise.all([
      this.#engine
        .find("inspect a container", (docker, abortSignal) => docker.getContainer(id).inspect({ abortSignal }))
        .catch(() => undefined),
      this.#readLog(id).catch(() => ""),
    ]);
    const code = state?.State.ExitCode;
    const told: DriverExit = {
      sandboxId,
      incarnation,
      lastWords: lastWords.trim().slice(-2_048),
      ...(code === undefined ? {} : { exit: { code, signal: "" } }),
    };
    for (const listener of this.#listeners) listener(told);
  }

  /** The end of what a container wrote, without the engine's framing. */
  async #readLog(id: string): Promise<string> {
    const log = await this.#engine.ask("read a log", (docker, abortSignal) =>
      docker.getContainer(id).logs({ stdout: true, stderr: true, tail: 50, abortSignal }),
    );
    return unframe(log);
  }
}

const trialMs = 20_000;

/** What is meant to be gone is gone already. */
function ignoreMissing(cause: unknown): void {
  // 404: no such container; 409: it does not run, or is being removed
  if (!(cause instanceof EngineFault && (cause.status === 404 || cause.status === 409))) throw cause;
}

function readLabels(of: Readonly<Record<string, string>>): { sandboxId: string; incarnation: bigint } | undefined {
  const sandboxId = of[labels.sandbox] ?? "";
  const incarnation = of[labels.incarnation] ?? "";
  if (!/^sbx-[a-z2-7]{20}$/.test(sandboxId) || !/^\d{1,18}$/.test(incarnation)) return undefined;
  return { sandboxId, incarnation: BigInt(incarnation) };
}

/** An engine sends pieces of a log behind eight bytes: the stream, three zeros, and the length. */
export function unframe(log: Buffer): string {
  const pieces: Buffer[] = [];
  for (let at = 0; at + 8 <= log.length; ) {
    const length = log.readUInt32BE(at + 4);
    pieces.push(log.subarray(at + 8, at + 8 + length));
    at += 8 + length;
  }
  return Buffer.concat(pieces).toString("utf8");
}

function reasonOf({ cause }: EngineFault): string {
  return cause instanceof Error ? cause.message.slice(0, 300) : "";
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((done) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      done();
    });
  });
}
