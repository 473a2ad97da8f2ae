import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ConnectSupervisorResponseSchema } from "@sandgate/api/sandbox";
import { ServiceError } from "@sandgate/rpc";

/** A command to a supervisor. */
export type SupervisorCommand = NonNullable<MessageInitShape<typeof ConnectSupervisorResponseSchema>["command"]>;

/** Commands that wait to be sent; more, and the supervisor does not read. */
const maximumQueued = 256;

/** One supervisor's stream: commands go down it in order. */
export class SupervisorSession {
  readonly sandboxId: string;
  readonly incarnation: bigint;
  /** When anything was last heard, in milliseconds. */
  heardMs: number;
  /** When the sandbox was last active, as the supervisor has told. */
  activeMs: number;
  /** When the store was last told that it is there. */
  recordedMs: number;
  /** Whether StartMain was sent on this stream. */
  mainCommanded = false;
  readonly #queue: SupervisorCommand[] = [];
  readonly #closed = new AbortController();
  #wake: () => void = () => {};

  constructor(options: {
    readonly sandboxId: string;
    readonly incarnation: bigint;
    readonly activeMs?: number;
    readonly nowMs: number;
  }) {
    this.sandboxId = options.sandboxId;
    this.incarnation = options.incarnation;
    this.heardMs = options.nowMs;
    this.activeMs = options.activeMs ?? options.nowMs;
    this.recordedMs = options.nowMs;
  }

  /** Aborts, with a ServiceError, when the stream is over. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** Sends a command. Throws SUPERVISOR_LOST when the stream is over. */
  send(command: SupervisorCommand): void {
    if (this.closed.aborted) throw lost();
    if (this.#queue.length >= maximumQueued) {
      this.close(new ServiceError("LIMIT_REACHED", "the supervisor does not read its commands"));
      throw lost();
    }
    this.#queue.push(command);
    this.#wake();
  }

  /** Ends the stream, once. Without an error the supervisor sees a clean end. */
  close(error: ServiceError = lost()): void {
    if (this.closed.aborted) return;
    this.#closed.abort(error);
    this.#wake();
  }

  /** The commands in order, until the stream is over. */
  async *commands(): AsyncGenerator<SupervisorCommand> {
    while (!this.closed.aborted) {
      const command = this.#queue.shift();
      if (command !== undefined) yield command;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }
}

function lost(): ServiceError {
  return new ServiceError("SUPERVISOR_LOST", "the supervisor is not connected");
}
