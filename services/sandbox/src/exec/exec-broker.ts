import type { ExecInput, ExecOutput } from "@sandgate/api/sandbox";
import { ServiceError } from "@sandgate/rpc";
import { HandOff } from "./hand-off.ts";

/** How many processes one sandbox may run through ExecSandbox at one time. */
const maximumPerSandbox = 64;

/** One process between the caller of ExecSandbox and the supervisor that relays it. */
export class Exec {
  readonly id: string;
  readonly sandboxId: string;
  readonly incarnation: bigint;
  /** From the caller to the supervisor. */
  readonly inputs = new HandOff<ExecInput>();
  /** From the supervisor to the caller. */
  readonly outputs = new HandOff<ExecOutput>();
  readonly #accepted = Promise.withResolvers<void>();
  #isAccepted = false;

  constructor(options: { readonly id: string; readonly sandboxId: string; readonly incarnation: bigint }) {
    this.id = options.id;
    this.sandboxId = options.sandboxId;
    this.incarnation = options.incarnation;
  }

  get isAccepted(): boolean {
    return this.#isAccepted;
  }

  /** The supervisor's side has come. */
  accept(): void {
    this.#isAccepted = true;
    this.#accepted.resolve();
  }

  /** The supervisor's side is gone: the caller gets what it gave last, and no input is taken any more. */
  lose(): void {
    this.outputs.end();
    this.inputs.refuse();
  }

  /** Resolves when the supervisor's side has come; throws the signal's reason when that aborts before. */
  async accepted(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const aborted = Promise.withResolvers<never>();
    const onAbort = () => aborted.reject(signal.reason);
    signal.addEventListener("abort", onAbort);
    try {
      await Promise.race([this.#accepted.promise, aborted.promise]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }
}

/** Brings together the two sides of a process: the caller's stream and the supervisor's. */
export class ExecBroker {
  readonly #newExecId: () => string;
  readonly #execs = new Map<string, Exec>();

  constructor(options: { /** Unguessable. */ readonly newExecId: () => string }) {
    this.#newExecId = options.newExecId;
  }

  /** Opens the caller's side. Throws LIMIT_REACHED when the sandbox runs as many processes as it may. */
  open(sandboxId: string, incarnation: bigint): Exec {
    let count = 0;
    for (const exec of this.#execs.values()) if (exec.sandboxId === sandboxId) count += 1;
    if (count >= maximumPerSandbox)
      throw new ServiceError("LIMIT_REACHED", "the sandbox runs as many processes as it may", {
        limit: String(maximumPerSandbox),
      });
    const exec = new Exec({ id: this.#newExecId(), sandboxId, incarnation });
    this.#execs.set(exec.id, exec);
    return exec;
  }

  /** Takes the supervisor's side, once. Throws PROCESS_NOT_FOUND unless this incarnation of this sandbox was asked to. */
  accept(execId: string, sandboxId: string, incarnation: bigint): Exec {
    const exec = this.#execs.get(execId);
    if (exec === undefined || exec.isAccepted || exec.sandboxId !== sandboxId || exec.incarnation !== incarnation)
      throw new ServiceError("PROCESS_NOT_FOUND", "nobody waits for this process");
    exec.accept();
    return exec;
  }

  /** The caller's side is gone: the supervisor's ends, with an error if the process was not at its end. */
  close(exec: Exec, error?: ServiceError): void {
    this.#execs.delete(exec.id);
    exec.inputs.end(error);
    exec.outputs.refuse();
  }
}
