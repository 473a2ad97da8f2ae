import { createLogger } from "@sandgate/telemetry";
import { afterEach, expect, it } from "vitest";
import { FirewallError } from "./firewall-error.ts";
import { type FirewallFault, GuardKeeper } from "./guard-keeper.ts";
import { renderChanges } from "./guard-rules.ts";
import { NftablesBackend } from "./nftables-backend.ts";

const address = (text: string) => ({ family: 4 as const, text });

/** nft as far as transactions go: it answers when it is told to, and keeps what it was given. */
class Nft {
  readonly transactions: string[] = [];
  listing = "the table";
  listed = 0;
  fails: () => boolean = () => false;
  held: Promise<void> = Promise.resolve();

  readonly run = async (args: readonly string[], input = ""): Promise<string> => {
    if (args[0] !== "-f") {
      this.listed += 1;
      return this.listing;
    }
    this.transactions.push(input);
    await this.held;
    if (this.fails()) throw new FirewallError("nft refused");
    return "";
  };
}

const open = new Set<GuardKeeper>();
afterEach(async () => {
  for (const firewall of open) await firewall.stop();
  open.clear();
});

async function start(nft: Nft, over: Partial<ConstructorParameters<typeof NftablesBackend>[0]> = {}) {
  const faults: FirewallFault[] = [];
  const logger = createLogger({ service: "test", level: "error", destination: { write: () => undefined } });
  const backend = new NftablesBackend({
    nft: nft.run,
    session: undefined,
    follow: () => ({ stop: async () => undefined }),
    table: "t",
    ports: [{ protocol: "tcp", port: 443 }],
    device: undefined,
    logger,
    ...over,
  });
  const firewall = new GuardKeeper({ backend, monotonic: () => 1_000, onFault: (fault) => faults.push(fault), logger });
  await firewall.start();
  open.add(firewall);
  const made = nft.transactions.splice(0);
  return { firewall, faults, made };
}

it("EW-07: makes the table in one transaction, and none but its own", async () => {
  const { made } = await start(new Nft());
  expect(made).toHaveLength(1);
  expect(made[0]).toMatch(/^add table inet t\ndelete table inet t\ntable inet t \{/);
  expect(made[0]).not.toContain("flush");
});

it("puts what is asked for while a transaction runs into the next one", async () => {
  const nft = new Nft();
  const { firewall } = await start(nft);
  const held = Promise.withResolvers<void>();
  nft.held = held.promise;
  const first = firewall.set(address("192.0.2.1"), 61_000);
  const others = Array.from({ length: 200 }, (_, index) => firewall.set(address(`198.51.100.${index}`), 61_000));
  held.resolve();
  await Promise.all([first, ...others]);
  expect(nft.transactions).toHaveLength(2);
});

it("replaces an address's time, in one transaction", async () => {
  const nft = new Nft();
  const { firewall } = await start(nft);
  await firewall.set(address("192.0.2.1"), 61_000);
  await firewall.set(address("192.0.2.1"), 91_000);
  expect(nft.transactions.at(-1)).toBe(
    [
      "add element inet t lease4 { 192.0.2.1 timeout 1s }",
      "delete element inet t lease4 { 192.0.2.1 }",
      "add element inet t lease4 { 192.0.2.1 timeout 90000ms }\n",
    ].join("\n"),
  );
});

it("lets nobody in whose time has passed while he waited", async () => {
  const nft = new Nft();
  const { firewall } = await start(nft);
  await firewall.set(address("192.0.2.1"), 1_000);
  expect(nft.transactions.at(-1)).not.toMatch(/timeout [^1]/);
});

it("EW-08: after a transaction that failed it makes the table new, with who is in and who asked", async () => {
  const nft = new Nft();
  const { firewall, faults } = await start(nft);
  await firewall.set(address("192.0.2.1"), 61_000);
  let failures = 1;
  nft.fails = () => failures-- > 0;
  await firewall.set(address("192.0.2.2"), 61_000);
  expect(faults).toEqual(["change"]);
  expect(nft.transactions.at(-1)).toMatch(/^add table.*192\.0\.2\.1 timeout 60000ms.*192\.0\.2\.2 timeout 60000ms/s);
  firewall.check();
});

it("EW-08: lets nobody in while nothing works, says that it is not ready, and comes back by itself", async () => {
  const nft = new Nft();
  const { firewall, faults } = await start(nft);
  let broken = true;
  nft.fails = () => broken;
  await expect(firewall.set(address("192.0.2.1"), 61_000)).rejects.toThrow(FirewallError);
  await expect(firewall.set(address("192.0.2.1"), undefined)).rejects.toThrow(FirewallError);
  expect(() => firewall.check()).toThrow("may not be guarded");
  expect(faults).toContain("restore");
  broken = false;
  await expect.poll(() => firewall.check(), { timeout: 5_000 }).toBeUndefined();
  expect(nft.transactions.at(-1)).toMatch(/^add table/);
  expect(nft.transactions.at(-1)).not.toContain("192.0.2.1");
});

it("EW-05: leaves the guard without anybody in it when it stops", async () => {
  const nft = new Nft();
  const { firewall } = await start(nft);
  await firewall.set(address("192.0.2.1"), 61_000);
  const ending = firewall.set(address("192.0.2.1"), 91_000);
  await Promise.all([ending, firewall.stop()]);
  expect(nft.transactions.at(-1)).toMatch(/^add table/);
  expect(nft.transactions.at(-1)).not.toContain("192.0.2.1");
  await expect(firewall.set(address("192.0.2.1"), 61_000)).rejects.toThrow("stopped");
});

it("tells an nft that goes on living of changes, and others nothing", async () => {
  const nft = new Nft();
  const told: (readonly string[])[] = [];
  const session = {
    commit: async (commands: readonly string[]) => void told.push(commands),
    stop: async () => undefined,
  };
  const { firewall } = await start(nft, { session });
  await firewall.set(address("192.0.2.1"), 61_000);
  await firewall.set(address("192.0.2.2"), 61_000);
  expect(nft.transactions).toEqual([]);
  expect(told.map((commands) => commands.at(-1))).toEqual([
    "add element inet t commits { 1 timeout 60s }",
    "add element inet t commits { 2 timeout 60s }",
  ]);
});

it("EW-08: makes the table new when the nft that goes on living fails, and does without one that always does", async () => {
  const nft = new Nft();
  let commits = 0;
  const commit = async () => {
    commits += 1;
    throw new FirewallError("it has ended");
  };
  const { firewall, faults } = await start(nft, { session: { commit, stop: async () => undefined } });
  for (const last of [1, 2, 3, 4]) await firewall.set(address(`192.0.2.${last}`), 61_000);
  expect(commits).toBe(3);
  expect(faults).toEqual(["change", "change", "change"]);
  expect(nft.transactions.map((text) => text.startsWith("add table"))).toEqual([true, true, true, false]);
});

it("EW-08: looks at once when it is told that the rules have changed", async () => {
  const nft = new Nft();
  let tell = (): void => undefined;
  const { firewall, faults } = await start(nft, {
    follow: (onChange) => {
      tell = onChange;
      return { stop: async () => undefined };
    },
  });
  tell();
  await expect.poll(() => nft.listed).toBe(2);
  expect(nft.transactions).toEqual([]);
  nft.listing = "another table";
  tell();
  await firewall.set(address("192.0.2.1"), 61_000); // waits for its turn
  expect(faults).toEqual(["altered"]);
  expect(nft.transactions[0]).toMatch(/^add table/);
});

it("shuts out all before it lets any in, so that no part of a transaction lets more in than the whole", async () => {
  const changes = [
    { address: address("192.0.2.1"), leftMs: undefined },
    { address: { family: 6, text: "2001:db8::1" }, leftMs: 2_000.5 },
    { address: address("192.0.2.2"), leftMs: 1_000 },
  ] as const;
  expect(renderChanges("t", changes)).toEqual([
    "add element inet t lease4 { 192.0.2.1 timeout 1s, 192.0.2.2 timeout 1s }",
    "delete element inet t lease4 { 192.0.2.1, 192.0.2.2 }",
    "add element inet t lease6 { 2001:db8::1 timeout 1s }",
    "delete element inet t lease6 { 2001:db8::1 }",
    "add element inet t lease4 { 192.0.2.2 timeout 1000ms }",
    "add element inet t lease6 { 2001:db8::1 timeout 2001ms }",
  ]);
});
