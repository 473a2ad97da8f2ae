import type { RelayExecRequest, RelayExecResponse } from "@sandgate/api/sandbox";
import { ServiceError } from "@sandgate/rpc";
import { HandOff } from "./hand-off.ts";

/** How many calls about the inside of one sandbox may be under way at one time. */
const maximumPerSandbox = 256;

/** One call between whoever made it and the supervisor that carries it out. */
export class Exec {
  readonly id: string;
  readonly sandboxId: string;
  readonly incarnation: bigint;
  /** From the caller to the supervisor. */
  readonly inputs = new HandOff<RelayExecResponse>();
  /** From the supervisor to the caller. */
  readonly outputs = new HandOff<RelayExecRequest>();
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

/** Brings together the two sides of a call: the caller's and the supervisor's. */
export class ExecBroker {
  readonly #newExecId: () => string;
  readonly #execs = new Map<string, Exec>();

  constructor(options: { /** Unguessable. */ readonly newExecId: () => string }) {
    this.#newExecId = options.newExecId;
  }

  /** Opens the caller's side. Throws LIMIT_REACHED when as many calls are under way as may be. */
  open(sandboxId: string, incarnation: bigint): Exec {
    let count = 0;
    for (const exec of this.#execs.values()) if (exec.sandboxId === sandboxId) count += 1;
    if (count >= maximumPerSandbox)
      throw new ServiceError("LIMIT_REACHED", "as many calls into the sandbox are under way as may be", {
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
      throw new ServiceError("PROCESS_NOT_FOUND", "nobody waits for this call");
    exec.accept();
    return exec;
  }

  /** The caller's side is gone: the supervisor's ends, with an error if the call was not at its end. */
  close(exec: Exec, error?: ServiceError): void {
    this.#execs.delete(exec.id);
    exec.inputs.end(error);
    exec.outputs.refuse();
  }
}
