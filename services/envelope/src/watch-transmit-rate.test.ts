import { expect, it, vi } from "vitest";
import { watchTransmitRate } from "./watch-transmit-rate.ts";

const devices = (bytes: number) => `Inter-|   Receive                    |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    1       1    0    0    0     0          0         0   999999       1    0    0    0     0       0          0
  eth0:    1       1    0    0    0     0          0         0   ${bytes}       1    0    0    0     0       0          0
`;

it("A.10: is exceeded while a device transmits more than it may, strictly", () => {
  vi.useFakeTimers();
  let [bytes, now] = [0, 0];
  const readDevices = () => devices(bytes);
  const limit = { device: "eth0", max_bits_per_second: 80_000 };
  const watch = watchTransmitRate(limit, { monotonic: () => now, readDevices });
  const pass = (sent: number) => {
    bytes += sent;
    now += 100;
    vi.advanceTimersByTime(100);
    return watch.isExceeded();
  };
  expect([watch.isExceeded(), pass(1_000), pass(1_001), pass(0), pass(0)]).toEqual([false, false, true, false, false]);
  watch.stop();
  vi.useRealTimers();
});

it("A.10, EW-21: is exceeded, and not ready, when the device goes away", () => {
  let [text, now] = [devices(0), 0];
  const limit = { device: "eth0", max_bits_per_second: 80_000 };
  const watch = watchTransmitRate(limit, { monotonic: () => now, readDevices: () => text });
  watch.check();
  text = "";
  now += 1_001;
  expect(watch.isExceeded()).toBe(true);
  expect(watch.check).toThrow("not known");
  watch.stop();
});

it.each([
  ["there is no such device", () => devices(0), "eth1"],
  ["the device's name is the end of another's", () => devices(0), "th0"],
  [
    "devices cannot be read",
    () => {
      throw new Error("no /proc");
    },
    "eth0",
  ],
])("EW-21: does not start when %s", (_, readDevices, device) => {
  const watch = () => watchTransmitRate({ device, max_bits_per_second: 1 }, { monotonic: () => 0, readDevices });
  expect(watch).toThrow("transmit.device: is no network device of this host");
});
