import type { WatchTrustResponse } from "@sandgate/api/auth";
import { ServiceError } from "@sandgate/rpc";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { TrustEvent } from "../domain/trust-change.ts";
import { TrustFeed } from "./trust-feed.ts";

/** A change log in memory, that can break. */
class FakeLog {
  head = 0n;
  events: TrustEvent[] = [];
  broken = false;

  append(subject: string): bigint {
    this.head += 1n;
    this.events.push({ kind: "revocation", revocationKind: 1, subject, expiresAtMs: 1, sequence: this.head });
    return this.head;
  }

  readTrust = async (afterSequence: bigint) => {
    if (this.broken) throw new Error("no database");
    return { head: this.head, events: this.events.filter(({ sequence }) => sequence > afterSequence) };
  };

  openTrust = async () => {
    const { head, events } = await this.readTrust(0n);
    return { kind: "snapshot" as const, sequence: head, revocations: events };
  };

  findSandbox = async () => undefined;
  findUser = async () => undefined;
}

let log: FakeLog;
let feed: TrustFeed;
let faults: number;
let now: number;
let stop: AbortController;
beforeEach(() => {
  log = new FakeLog();
  faults = 0;
  now = 0;
  stop = new AbortController();
  feed = new TrustFeed({ store: log, loadKeys: async () => '{"keys":[]}', clock: () => now, onFault: () => faults++ });
});
afterEach(async () => {
  stop.abort();
  await feed.stop();
});

const nextOf = async (stream: AsyncGenerator<WatchTrustResponse>) => {
  const { value, done } = await stream.next();
  if (done === true) throw new Error("the stream has ended");
  return value;
};

/** The next response that is not a heartbeat. */
const nextChange = async (stream: AsyncGenerator<WatchTrustResponse>) => {
  for (;;) {
    const response = await nextOf(stream);
    if (response.change.case !== "heartbeat") return response;
  }
};

describe("TrustFeed", () => {
  it("tells each change once, though it is in the log and in the queue", async () => {
    await feed.start();
    log.append("a");
    const stream = feed.watch(0n, stop.signal);
    expect((await nextOf(stream)).change.case).toBe("snapshot");
    await feed.reached(1n);
    log.append("b");
    await feed.reached(2n);
    expect((await nextChange(stream)).sequence).toBe(2n);
  });

  it("falls silent while the log cannot be read, and tells what was missed afterwards", async () => {
    await feed.start();
    const stream = feed.watch(0n, stop.signal);
    await nextOf(stream);
    await nextOf(stream);
    log.broken = true;
    log.append("a");
    await feed.reached(1n);
    expect(faults).toBeGreaterThan(0);
    now += 5_001;
    expect(() => feed.check()).toThrow("cannot be read");
    log.broken = false;
    await feed.reached(1n);
    expect((await nextChange(stream)).sequence).toBe(1n);
    expect(() => feed.check()).not.toThrow();
  });

  it("ends every stream when the log has gone back", async () => {
    log.append("a");
    log.append("b");
    await feed.start();
    const stream = feed.watch(0n, stop.signal);
    await nextOf(stream);
    await nextOf(stream);
    log.head = 1n;
    log.events.pop();
    feed.wake();
    await expect(nextChange(stream)).rejects.toThrow(ServiceError);
  });

  it("ends a stream whose caller goes away", async () => {
    await feed.start();
    const stream = feed.watch(0n, stop.signal);
    await nextOf(stream);
    await nextOf(stream);
    const last = stream.next();
    stop.abort();
    expect(await last).toEqual({ value: undefined, done: true });
  });

  it("refuses to begin while the log cannot be read", async () => {
    await feed.start();
    log.broken = true;
    await expect(feed.watch(0n, stop.signal).next()).rejects.toMatchObject({ reason: "UNAVAILABLE" });
  });
});
