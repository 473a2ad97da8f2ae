import type { FieldFault } from "./request-faults.ts";

/** The shape of a google.protobuf.Duration. */
interface DurationMessage {
  readonly seconds: bigint;
  readonly nanos: number;
}

const mebibyte = 1024 * 1024;
const maximumInputBytes = mebibyte;
const maximumDurationSeconds = 365n * 24n * 3600n;
const maximumWaitMs = 60_000;

/** What is wrong with a process id; none if nothing is. */
export function findProcessIdFaults(processId: string, field = "process_id"): readonly FieldFault[] {
  return /^prc-[a-z2-7]{20}$/.test(processId) ? [] : [{ field, fault: "must be a process id: prc- and 20 characters" }];
}

/** What is wrong with the bounds of a process. */
export function findLimitFaults(
  limits:
    | {
        readonly timeout?: DurationMessage | undefined;
        readonly unattendedTimeout?: DurationMessage | undefined;
        readonly outputBytes: bigint;
        readonly keptOutputBytes: bigint;
      }
    | undefined,
): readonly FieldFault[] {
  if (limits === undefined) return [];
  const faults: FieldFault[] = [];
  for (const [field, duration] of [
    ["limits.timeout", limits.timeout],
    ["limits.unattended_timeout", limits.unattendedTimeout],
  ] as const)
    if (duration !== undefined && !isPositive(duration))
      faults.push({ field, fault: "must be more than nothing and at most a year" });
  if (limits.outputBytes < 0n) faults.push({ field: "limits.output_bytes", fault: "must not be negative" });
  const kept = Number(limits.keptOutputBytes);
  if (kept !== 0 && (kept < mebibyte || kept > 256 * mebibyte))
    faults.push({ field: "limits.kept_output_bytes", fault: "must be between 1 MiB and 256 MiB" });
  return faults;
}

/** What is wrong with a piece of standard input. `path` is the field's path in the request. */
export function findInputFaults(
  input: { readonly offset: bigint; readonly data: Uint8Array } | undefined,
  path: string,
): readonly FieldFault[] {
  if (input === undefined) return [{ field: path, fault: "is missing" }];
  const faults: FieldFault[] = [];
  if (input.offset < 0n) faults.push({ field: `${path}.offset`, fault: "must not be negative" });
  if (input.data.length > maximumInputBytes) faults.push({ field: `${path}.data`, fault: "must have at most 1 MiB" });
  return faults;
}

/** What is wrong with the name of a signal. */
export function findSignalFaults(signal: string): readonly FieldFault[] {
  return /^SIG[A-Z0-9+]{1,12}$/.test(signal) ? [] : [{ field: "signal", fault: "must be the name of a signal" }];
}

/** What is wrong with how long somebody wants to wait. */
export function findWaitFaults(timeout: DurationMessage | undefined): readonly FieldFault[] {
  if (timeout === undefined) return [];
  const ms = Number(timeout.seconds) * 1_000 + timeout.nanos / 1e6;
  return ms >= 0 && ms <= maximumWaitMs ? [] : [{ field: "timeout", fault: "must be at most 1 minute" }];
}

function isPositive({ seconds, nanos }: DurationMessage): boolean {
  return seconds >= 0n && nanos >= 0 && (seconds > 0n || nanos > 0) && seconds <= maximumDurationSeconds;
}
