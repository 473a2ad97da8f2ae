import { readFileSync } from "node:fs";

/** What the kernel counts of each network device of this namespace. */
export function readNetworkDevices(): string {
  return readFileSync("/proc/net/dev", "utf8");
}

/** The bytes that a device has transmitted: the ninth number of its line. Undefined where there is no such device. */
export function findTransmittedBytes(devices: string, device: string): number | undefined {
  const line = devices.split("\n").find((candidate) => candidate.trimStart().startsWith(`${device}:`));
  const bytes = Number(
    line
      ?.slice(line.indexOf(":") + 1)
      .trim()
      .split(/\s+/)[8] ?? Number.NaN,
  );
  return Number.isFinite(bytes) ? bytes : undefined;
}
