import { constants } from "node:os";
import { exitCodes } from "./exit-codes.ts";

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** The signals that ask the command to stop. */
export type Interruption = (typeof signals)[number];

/** The exit code of a process that a signal ended. */
export function exitCodeOfSignal(signal: string): number {
  const numbers: Readonly<Record<string, number>> = constants.signals;
  return exitCodes.signalBase + (numbers[signal] ?? 0);
}

/**
 * What happens on SIGINT, SIGTERM and SIGHUP: the first aborts `signal`, so that the command can clean up, the second ends
 * the process. A command may take them over for a while.
 */
export class Interruptions {
  readonly #controller = new AbortController();
  #received: Interruption | undefined;
  #handler: ((signal: Interruption) => void) | undefined;

  constructor() {
    for (const signal of signals) process.on(signal, () => this.#receive(signal));
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The signal that interrupted the command, if one did. */
  get received(): Interruption | undefined {
    return this.#received;
  }

  /** Hands every interruption to `handler` until the returned function is called. */
  takeOver(handler: (signal: Interruption) => void): () => void {
    this.#handler = handler;
    return () => {
      this.#handler = undefined;
    };
  }

  /** As if the signal had come. */
  #receive(signal: Interruption): void {
    if (this.#handler !== undefined) {
      this.#handler(signal);
      return;
    }
    if (this.#received !== undefined) process.exit(exitCodeOfSignal(signal));
    this.#received = signal;
    this.#controller.abort();
  }
}
