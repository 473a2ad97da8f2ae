import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";

const largest = 2n ** 53n; // 285 years

/** A timestamp (since the epoch) or duration in whole microseconds, at most 2^53. */
export function microsecondsOf({ seconds, nanos }: Timestamp | Duration): bigint {
  const value = seconds * 1_000_000n + BigInt(Math.trunc(nanos / 1000));
  return value > largest ? largest : value;
}

/** The seconds and nanoseconds of microseconds, as timestamps and durations have them. */
export function fromMicroseconds(value: bigint): { seconds: bigint; nanos: number } {
  return { seconds: value / 1_000_000n, nanos: Number(value % 1_000_000n) * 1000 };
}
