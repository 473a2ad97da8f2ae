import type { FieldFault } from "./request-faults.ts";
import type { MainExit } from "./sandbox-record.ts";

/** The values of sandgate.sandbox.v1.ExitReason that a main process can end with. */
const exited = 1;
const signalled = 2;
const outOfMemory = 5;

/** How a main process ended, or what is wrong with the report. */
export function parseExit(
  message: { readonly reason: number; readonly code: number; readonly signal: string } | undefined,
): MainExit | FieldFault {
  switch (message?.reason) {
    case exited:
      if (message.code < 0 || message.code > 255) return { field: "exit.code", fault: "must be between 0 and 255" };
      return { kind: "exited", code: message.code };
    case signalled:
    case outOfMemory:
      if (!/^SIG[A-Z0-9+]{1,12}$/.test(message.signal))
        return { field: "exit.signal", fault: "must be the name of a signal" };
      return {
        kind: "signalled",
        signal: message.signal,
        ...(message.reason === outOfMemory ? { outOfMemory: true } : {}),
      };
    default:
      return { field: "exit.reason", fault: "must be EXITED, SIGNALLED or OUT_OF_MEMORY" };
  }
}
