/** The last moment of the year 9999. */
const latestMs = 253_402_300_799_999;

/** The moment of a protobuf timestamp in milliseconds since the epoch, rounded down; undefined for what is none between 1970 and 9999. */
export function readExpiry({
  seconds,
  nanos,
}: {
  readonly seconds: bigint;
  readonly nanos: number;
}): number | undefined {
  if (seconds < 0n || seconds > 253_402_300_799n || !Number.isInteger(nanos) || nanos < 0 || nanos > 999_999_999)
    return undefined;
  return Number(seconds) * 1000 + Math.floor(nanos / 1_000_000);
}

/** A moment in milliseconds as a protobuf timestamp; undefined for what is none between 1970 and 9999. */
export function writeExpiry(ms: number): { readonly seconds: bigint; readonly nanos: number } | undefined {
  if (!Number.isInteger(ms) || ms < 0 || ms > latestMs) return undefined;
  return { seconds: BigInt(Math.floor(ms / 1000)), nanos: (ms % 1000) * 1_000_000 };
}
