import type { ProcessExit, SandboxSpec } from "@sandgate/api/sandbox";

/** Something that a driver cannot enforce and prove on its machine. */
export interface IsolationGap {
  /** Short and stable: total-memory, cpu, disk, … */
  readonly name: string;
  /** How to get it. */
  readonly mend: string;
}

/** What a driver can give on its machine. */
export interface Isolation {
  /** What is enforced and proved, in plain words. */
  readonly guarantees: readonly string[];
  readonly gaps: readonly IsolationGap[];
  /** Set when the driver cannot run sandboxes here at all. */
  readonly refusal?: {
    readonly fault: string;
    /** What to type to mend it. */
    readonly mend: string;
  };
}

/** The directories of one sandbox through which its supervisor meets the control plane and the egress proxy. */
export interface SandboxEndpoints {
  /** Holds enrol.sock and control.sock (and auth.sock where Auth is a process of its own), made by their servers. */
  readonly controlDirectory: string;
  /** Holds egress.sock, made by the egress proxy. */
  readonly egressDirectory: string;
  /** The uid and gid that the sandbox's processes have on this machine, where they differ from the driver's own. */
  readonly owner?: { readonly uid: number; readonly gid: number };
}

/** What a driver needs to know to start one incarnation of a sandbox. */
export interface SandboxStart {
  readonly sandboxId: string;
  readonly incarnation: bigint;
  /** The host name that processes in it see. */
  readonly name: string;
  readonly spec: SandboxSpec;
  /** A secret: reaches the supervisor as a file that it alone can read and removes. */
  readonly bootstrapToken: string;
}

/** One sandbox as the machine shows it, whatever any database says. */
export interface DriverSandbox {
  readonly sandboxId: string;
  /** Of the newest start; undefined where only directories exist. */
  readonly incarnation?: bigint;
  /** Whether the supervisor's sandbox is running now. One that only waits, with no incarnation started, is not. */
  readonly running: boolean;
}

/** The supervisor of one incarnation ended. */
export interface DriverExit {
  readonly sandboxId: string;
  readonly incarnation: bigint;
  /** How; undefined when it was started by an earlier run of this program, which alone could have been told. */
  readonly exit?: Pick<ProcessExit, "code" | "signal">;
  /** The last lines that the supervisor wrote to its own log, for a diagnosis. Never workload output. */
  readonly lastWords: string;
}

/**
 * Makes, runs and removes the machine's side of sandboxes. What is on disk and in the process table suffices to find
 * and finish, or remove, any sandbox after a kill -9 of the driver's process at any instruction; sandboxes outlive it.
 * Methods may be repeated; calls for one sandbox are done one after the other.
 */
export interface SandboxDriver {
  /** As GetIsolation says it: local. */
  readonly name: string;
  /** Says what this machine can give. Tried, not assumed; remembered for the life of the driver unless it refused. */
  isolation(): Promise<Isolation>;
  /**
   * From now on the driver, where it can, keeps a sandbox under an id of this kind that is set up but for its identity, so that starting it
   * takes a fraction of the time. It is gone when the driver's process ends.
   */
  keepSpare?(newSandboxId: () => string): void;
  /** The id of the spare sandbox, for one new sandbox alone; undefined while there is none. */
  takeSpare?(): string | undefined;
  /**
   * Why no sandbox may be made of an image, in words that follow the name of a field; undefined where one may, whether the image is there or not.
   * A driver without this has no images.
   */
  findImageFault?(image: string): string | undefined;
  /** Makes the sandbox's directories. Repeating it changes nothing. */
  prepare(sandboxId: string): Promise<SandboxEndpoints>;
  /**
   * Starts the supervisor. Resolves when its sandbox is set up and the supervisor runs in it, which is before it has connected.
   * When that incarnation, or a later one, runs already it changes nothing; an earlier one is ended first.
   * Throws DriverRefusal when the machine cannot give what the spec asks for.
   */
  start(start: SandboxStart): Promise<void>;
  /** Ends the supervisor and every process below it: asks, and after `graceMs` kills. Directories remain. */
  stop(request: { readonly sandboxId: string; readonly graceMs: number }): Promise<void>;
  /** Removes every process, mount, socket and directory of the sandbox, by its id alone. */
  destroy(sandboxId: string): Promise<void>;
  /** Everything of this driver that exists on the machine, by directories and process labels, for a sweep of orphans. */
  list(): Promise<readonly DriverSandbox[]>;
  /**
   * Gives every sandbox the authorities of service certificates as they are now: they were replaced. A sandbox that is made later has
   * them from its beginning. Undefined where sandboxes learn them in another way.
   */
  shareAuthorities?(): Promise<void>;
  /**
   * The directory in which a sandbox's supervisor keeps what processes wrote and how they ended, to be read when it is gone. The supervisor
   * writes it: nothing in it can be trusted. Undefined where it cannot be reached from here.
   */
  processDirectory?(sandboxId: string): string;
  /** Calls `listener` when a supervisor ends that nobody stopped; also for sandboxes that an earlier run started. Returns the way to end that. */
  onExit(listener: (exit: DriverExit) => void): () => void;
  /** Stops watching. Sandboxes live on. */
  close(): Promise<void>;
}

/** The machine cannot run the sandbox. The message is for its owner: plain words, without a secret. */
export class DriverRefusal extends Error {
  override readonly name = "DriverRefusal";
  /** What to type to mend it. */
  readonly mend: string;
  /** Whether it may pass by itself, as an outage does, so that trying again is worth it. */
  readonly mayPass: boolean;

  constructor(fault: string, mend: string, options: ErrorOptions & { readonly mayPass?: boolean } = {}) {
    super(fault, options);
    this.mend = mend;
    this.mayPass = options.mayPass ?? false;
  }
}
