import { ConfigError } from "@sandgate/config";
import { TransmitRate } from "./domain/transmit-rate.ts";
import { findTransmittedBytes, readNetworkDevices } from "./network-devices.ts";

const SAMPLE_MS = 100;
/** Without a sample for so long, the rate is not known. */
const STALE_MS = 1_000;

/** Tells whether a device transmits more than it may. */
export interface TransmitLimit {
  /** Whether it does, or cannot be asked. */
  isExceeded(): boolean;
  /** Throws while the device cannot be asked. */
  check(): void;
  stop(): void;
}

/**
 * Watches what a device transmits, ten times a second. Throws ConfigError when there is no such device (EW-21); one that goes away later counts
 * as one that transmits too much.
 */
export function watchTransmitRate(
  limit: { readonly device: string; readonly max_bits_per_second: number },
  deps: { readonly monotonic: () => number; readonly readDevices?: () => string },
): TransmitLimit {
  const { monotonic, readDevices = readNetworkDevices } = deps;
  const rate = new TransmitRate();
  let sampledAt = Number.NEGATIVE_INFINITY;
  const sample = () => {
    const bytes = readTransmitted(readDevices, limit.device);
    if (bytes === undefined) return;
    sampledAt = monotonic();
    rate.sample(bytes, sampledAt);
  };
  sample();
  if (sampledAt === Number.NEGATIVE_INFINITY)
    throw new ConfigError([{ path: "transmit.device", message: "is no network device of this host" }]);
  const timer = setInterval(sample, SAMPLE_MS).unref();
  const isStale = () => monotonic() - sampledAt > STALE_MS;
  return {
    isExceeded: () => isStale() || rate.bitsPerSecond > limit.max_bits_per_second,
    check: () => {
      if (isStale()) throw new Error("what the device transmits is not known");
    },
    stop: () => clearInterval(timer),
  };
}

function readTransmitted(readDevices: () => string, device: string): number | undefined {
  try {
    return findTransmittedBytes(readDevices(), device);
  } catch {
    return undefined;
  }
}
