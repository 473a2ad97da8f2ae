import { describe, expect, it } from "vitest";
import { ChangeFeed } from "./change-feed.ts";

const never = new AbortController().signal;
const reasonOf = (wait: Promise<void>) =>
  wait.then(
    () => "woken",
    (error: { reason?: string; name?: string }) => error.reason ?? error.name,
  );

describe("ChangeFeed", () => {
  it("wakes those who wait for a topic, and nobody else", async () => {
    const feed = new ChangeFeed();
    const [one, other] = [feed.subscribe("a", "b"), feed.subscribe("c")];
    const giveUp = new AbortController();
    const woken = reasonOf(one.next(never));
    const waiting = reasonOf(other.next(giveUp.signal));
    feed.announce(["b"]);
    expect(await woken).toBe("woken");
    giveUp.abort();
    expect(await waiting).toBe("AbortError");
  });

  it("remembers announcements since the subscription as one", async () => {
    const feed = new ChangeFeed();
    const subscription = feed.subscribe("a");
    feed.announce(["a"]);
    feed.announce(["a"]);
    await subscription.next(never);
    expect(await reasonOf(subscription.next(AbortSignal.abort()))).toBe("AbortError");
  });

  it("waits no longer than it is told", async () => {
    const subscription = new ChangeFeed().subscribe("a");
    expect(await reasonOf(subscription.next(never, 1))).toBe("woken");
  });

  it("wakes everybody when announcements may have been lost", async () => {
    const feed = new ChangeFeed();
    const waits = ["a", "b"].map((topic) => feed.subscribe(topic).next(never));
    feed.announceAll();
    await Promise.all(waits);
  });

  it("ends every wait when it stops, also those that come later", async () => {
    const feed = new ChangeFeed();
    const subscription = feed.subscribe("a");
    const waiting = reasonOf(subscription.next(never));
    feed.stop();
    expect(await waiting).toBe("UNAVAILABLE");
    expect(await reasonOf(subscription.next(never))).toBe("UNAVAILABLE");
    expect(await reasonOf(feed.subscribe("b").next(never))).toBe("UNAVAILABLE");
  });

  it("forgets a closed subscription", async () => {
    const feed = new ChangeFeed();
    const [closed, open] = [feed.subscribe("a"), feed.subscribe("a")];
    closed.close();
    feed.announce(["a"]);
    await open.next(never);
    expect(await reasonOf(closed.next(AbortSignal.abort()))).toBe("AbortError");
  });
});
