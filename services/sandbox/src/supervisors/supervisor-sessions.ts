import { ServiceError } from "@sandgate/rpc";
import type { SupervisorCommand, SupervisorSession } from "./supervisor-session.ts";

/** The streams of the supervisors that are connected to this process, one for each sandbox. */
export class SupervisorSessions {
  readonly #sessions = new Map<string, SupervisorSession>();
  readonly #waiters = new Map<string, Set<(session: SupervisorSession) => void>>();

  /** Enters a stream. An older one of the same sandbox is ended: a supervisor opens a new one when it lost the old. */
  open(session: SupervisorSession): void {
    this.#sessions
      .get(session.sandboxId)
      ?.close(new ServiceError("CANCELLED", "a newer stream of this supervisor took its place"));
    this.#sessions.set(session.sandboxId, session);
    for (const found of this.#waiters.get(session.sandboxId) ?? []) found(session);
  }

  /** Removes a stream, unless a newer one has taken its place. */
  remove(session: SupervisorSession): void {
    session.close();
    if (this.#sessions.get(session.sandboxId) === session) this.#sessions.delete(session.sandboxId);
  }

  /** The stream of a sandbox's supervisor, if it is connected here. */
  find(sandboxId: string): SupervisorSession | undefined {
    return this.#sessions.get(sandboxId);
  }

  /** All streams. */
  list(): readonly SupervisorSession[] {
    return [...this.#sessions.values()];
  }

  /** The stream, as soon as it is there; throws the signal's reason when that aborts before. */
  async wait(sandboxId: string, signal: AbortSignal): Promise<SupervisorSession> {
    const present = this.#sessions.get(sandboxId);
    if (present !== undefined) return present;
    signal.throwIfAborted();
    const found = Promise.withResolvers<SupervisorSession>();
    const waiters = this.#waiters.get(sandboxId) ?? new Set();
    const onAbort = () => found.reject(signal.reason);
    waiters.add(found.resolve);
    this.#waiters.set(sandboxId, waiters);
    signal.addEventListener("abort", onAbort);
    try {
      return await found.promise;
    } finally {
      signal.removeEventListener("abort", onAbort);
      waiters.delete(found.resolve);
      if (waiters.size === 0) this.#waiters.delete(sandboxId);
    }
  }

  /** Sends a command to all supervisors; those that do not read are passed over. */
  sendAll(command: SupervisorCommand): void {
    for (const session of this.#sessions.values())
      try {
        session.send(command);
      } catch (error) {
        if (!(error instanceof ServiceError)) throw error; // its stream is over
      }
  }

  /** Ends all streams. */
  closeAll(error: ServiceError): void {
    for (const session of this.#sessions.values()) session.close(error);
  }
}
