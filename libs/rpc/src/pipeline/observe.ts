import type { DescMethod } from "@bufbuild/protobuf";
import type { Listener } from "@sandgate/api/options";
import type { Call } from "../call.ts";
import type { Reason } from "../service-error.ts";

/** How one call went. */
export interface CallOutcome {
  readonly call: Call | undefined;
  readonly method: DescMethod;
  readonly listener: Listener;
  /** "OK" or why it was refused or failed. */
  readonly outcome: "OK" | Reason;
  readonly durationMs: number;
  /** What lies behind INTERNAL, for the log alone. */
  readonly cause?: unknown;
}

/**
 * Told of every call when it has ended, whatever ended it. It stands outside all other steps so that refusals are counted
 * too. It must not throw.
 */
export type CallObserver = (outcome: CallOutcome) => void;
