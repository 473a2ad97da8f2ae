import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "@sandgate/telemetry";
import { afterEach, beforeEach, expect, it } from "vitest";
import { LeaseTable } from "./domain/lease-table.ts";
import type { Firewall } from "./firewall/firewall.ts";
import { FirewallError } from "./firewall/firewall-error.ts";
import { Grants } from "./grants.ts";
import { SpentTokens } from "./tokens/spent-tokens.ts";

let directory: string;
let wallMs: number;
let monotonicMs: number;
let spent: SpentTokens;
const sets: (readonly [address: string, deadlineMs: number | undefined])[] = [];
let fails: boolean;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "grants-"));
  wallMs = 1_000_000;
  monotonicMs = 5_000;
  fails = false;
  sets.length = 0;
  spent = await SpentTokens.open(join(directory, "spent"), () => wallMs);
});
afterEach(async () => {
  await spent.close();
  rmSync(directory, { recursive: true });
});

const firewall: Firewall = {
  set: async (address, deadlineMs) => {
    sets.push([address.text, deadlineMs]);
    if (fails) throw new FirewallError("no");
  },
  check: () => undefined,
  stop: async () => undefined,
};

function createGrants({ capacity } = { capacity: 1 }) {
  const table = new LeaseTable({ capacity, reserved: 0, perSubject: 10, perAddress: 10 });
  const grants = new Grants({
    table,
    spent,
    firewall,
    bound: { maxMs: 600_000 },
    clock: () => wallMs,
    monotonic: () => monotonicMs,
    newId: () => crypto.randomUUID(),
    logger: createLogger({ service: "test", level: "error", destination: { write: () => undefined } }),
  });
  return { table, grants };
}

const address = (text: string) => ({ family: 4 as const, text });
const claims = (tokenId: string) => ({ issuer: "locate", subject: "ndt", expiresAtMs: 1_060_000, tokenId });

it("ends a lease as long after its start as the token said then, however the clock is set meanwhile", async () => {
  const { grants } = createGrants();
  await grants.open([address("192.0.2.1")], claims("a"));
  wallMs -= 3_600_000;
  monotonicMs += 30_000;
  await grants.open([address("192.0.2.1")], { ...claims("b"), expiresAtMs: wallMs + 1_000 });
  expect(sets.map(([, deadlineMs]) => deadlineMs)).toEqual([65_000, 65_000]);
});

it("EW-09: tells the firewall nothing of a replayed token, and gives its place back", async () => {
  const { grants, table } = createGrants();
  const first = await grants.open([address("192.0.2.1")], claims("a"));
  if (first.outcome === "granted") await grants.close(first.lease);
  sets.length = 0;
  expect(await grants.open([address("192.0.2.2")], claims("a"))).toEqual({
    outcome: "refused",
    refusal: "token_replayed",
  });
  expect(sets).toEqual([]);
  expect(table.places).toBe(0);
});

it("E-47, EW-08: gives the place back, and shuts the address out, when the firewall fails; the token lets it in again", async () => {
  const { grants, table } = createGrants();
  fails = true;
  expect(await grants.open([address("192.0.2.1")], claims("a"))).toEqual({ outcome: "refused", refusal: "firewall" });
  expect(sets).toEqual([
    ["192.0.2.1", 65_000],
    ["192.0.2.1", undefined],
  ]);
  expect(table.places).toBe(0);
  fails = false;
  expect(await grants.open([address("192.0.2.1")], claims("a"))).toMatchObject({ outcome: "granted" });
});

it("E-45: spends no token while there is no place", async () => {
  const { grants } = createGrants();
  await grants.open([address("192.0.2.1")], claims("a"));
  expect(await grants.open([address("192.0.2.2")], claims("b"))).toMatchObject({
    refusal: "capacity",
    retryAfterMs: 60_000,
  });
  expect(await spent.spend({ ...claims("b"), address: address("192.0.2.3") })).toBe("first");
});

it("E-40, E-46: frees the place of a lease whose address cannot be shut out, and says so", async () => {
  const { grants, table } = createGrants();
  const granted = await grants.open([address("192.0.2.1")], claims("a"));
  if (granted.outcome !== "granted") throw new Error("not granted");
  fails = true;
  expect(await grants.close(granted.lease)).toBe(false);
  expect(table.places).toBe(0);
  fails = false;
  expect(await grants.open([address("192.0.2.2")], claims("b"))).toMatchObject({ outcome: "granted" });
});

it("EW-22: lets both addresses of a client in and out, and either may come back with the token", async () => {
  const { grants } = createGrants({ capacity: 2 });
  const pair = [address("192.0.2.1"), { family: 6, text: "2001:db8::1" }] as const;
  const granted = await grants.open(pair, claims("a"));
  expect(sets).toEqual([
    ["192.0.2.1", 65_000],
    ["2001:db8::1", 65_000],
  ]);
  sets.length = 0;
  if (granted.outcome === "granted") await grants.close(granted.lease);
  expect(sets.map(([, deadlineMs]) => deadlineMs)).toEqual([undefined, undefined]);
  expect(await grants.open([pair[1], pair[0]], claims("a"))).toMatchObject({ outcome: "granted" });
});

it("revokes a grant: its address is out, its connection ended, and its token worth nothing, also after a restart", async () => {
  const { grants, table } = createGrants();
  const granted = await grants.open([address("192.0.2.1")], claims("a"));
  if (granted.outcome !== "granted") throw new Error("not granted");
  let ended = 0;
  grants.onRevoke(granted.lease, () => (ended += 1));
  expect(await grants.revoke(granted.lease.id)).toBe("revoked");
  expect([ended, table.places, sets.at(-1)]).toEqual([1, 0, ["192.0.2.1", undefined]]);
  expect(await grants.revoke(granted.lease.id)).toBe("not_found");
  await spent.close();
  spent = await SpentTokens.open(join(directory, "spent"), () => wallMs);
  const later = createGrants();
  expect(await later.grants.open([address("192.0.2.1")], claims("a"))).toMatchObject({ refusal: "token_replayed" });
});

it("says that the firewall has not shut out who was revoked", async () => {
  const { grants } = createGrants();
  const granted = await grants.open([address("192.0.2.1")], claims("a"));
  if (granted.outcome !== "granted") throw new Error("not granted");
  fails = true;
  expect(await grants.revoke(granted.lease.id)).toBe("firewall");
});

it("tells who holds a connection at once when the lease is over already", async () => {
  const { grants } = createGrants();
  const granted = await grants.open([address("192.0.2.1")], claims("a"));
  if (granted.outcome !== "granted") throw new Error("not granted");
  await grants.revoke(granted.lease.id);
  let ended = 0;
  grants.onRevoke(granted.lease, () => (ended += 1));
  expect(ended).toBe(1);
});
