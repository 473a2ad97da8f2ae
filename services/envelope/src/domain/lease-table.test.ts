import { describe, expect, it } from "vitest";
import { type Lease, LeaseTable } from "./lease-table.ts";

function lease(id: string, address: string, over: Partial<Lease> = {}): Lease {
  return {
    id,
    addresses: [{ family: 4, text: address }],
    issuer: "locate",
    subject: "ndt",
    deadlineMs: 60_000,
    ...over,
  };
}

/** A lease that has its place and is in. */
function enter(leases: LeaseTable, entering: Lease): void {
  leases.open(entering, 0);
  leases.admit(entering);
}

function table(limits: Partial<ConstructorParameters<typeof LeaseTable>[0]> = {}): LeaseTable {
  return new LeaseTable({ capacity: 2, reserved: 0, perSubject: 100, perAddress: 3, ...limits });
}

describe("the lease table", () => {
  it("E-45: is full at its capacity, and says when the first place will be free", () => {
    const leases = table();
    leases.open(lease("a", "192.0.2.1", { deadlineMs: 50_000 }), 0);
    leases.open(lease("b", "192.0.2.2", { deadlineMs: 40_000 }), 0);
    expect(leases.open(lease("c", "192.0.2.3"), 10_000)).toEqual({
      outcome: "refused",
      refusal: "capacity",
      retryAfterMs: 30_000,
    });
    expect(leases.places).toBe(2);
  });

  it("EW-18: gives one address one place, also when it is full", () => {
    const leases = table({ capacity: 1 });
    leases.open(lease("a", "192.0.2.1"), 0);
    expect(leases.open(lease("b", "192.0.2.1"), 0)).toEqual({ outcome: "opened" });
    expect(leases.places).toBe(1);
  });

  it("keeps an address in until the last deadline of its leases, and after each end until the last of the rest", () => {
    const leases = table();
    enter(leases, lease("a", "192.0.2.1", { deadlineMs: 70_000 }));
    enter(leases, lease("b", "192.0.2.1", { deadlineMs: 50_000 }));
    const [address] = lease("a", "192.0.2.1").addresses;
    expect(leases.deadlineOf(address)).toBe(70_000);
    leases.close("a");
    expect(leases.deadlineOf(address)).toBe(50_000);
    leases.close("b");
    expect(leases.deadlineOf(address)).toBeUndefined();
    expect(leases.places).toBe(0);
  });

  it("bounds the leases of one address", () => {
    const leases = table();
    for (const id of ["a", "b", "c"]) leases.open(lease(id, "192.0.2.1"), 0);
    expect(leases.open(lease("d", "192.0.2.1"), 0)).toMatchObject({ refusal: "address_quota" });
  });

  it("EW-18: bounds the leases of one subject, and not those of the same name at another issuer", () => {
    const leases = table({ perSubject: 1 });
    leases.open(lease("a", "192.0.2.1"), 0);
    expect(leases.open(lease("b", "192.0.2.2"), 0)).toMatchObject({ refusal: "subject_quota" });
    expect(leases.open(lease("c", "192.0.2.2", { issuer: "other" }), 0)).toEqual({ outcome: "opened" });
  });

  it("EW-18: keeps places for subjects that have none", () => {
    const leases = table({ capacity: 3, reserved: 1 });
    leases.open(lease("a", "192.0.2.1", { deadlineMs: 50_000 }), 0);
    leases.open(lease("b", "192.0.2.2"), 0);
    expect(leases.open(lease("c", "192.0.2.3"), 0)).toEqual({
      outcome: "refused",
      refusal: "subject_quota",
      retryAfterMs: 50_000,
    });
    expect(leases.open(lease("d", "192.0.2.1"), 0)).toEqual({ outcome: "opened" });
    expect(leases.open(lease("e", "192.0.2.4", { subject: "other" }), 0)).toEqual({ outcome: "opened" });
    expect(leases.open(lease("f", "192.0.2.5"), 0)).toMatchObject({ refusal: "capacity" });
  });

  it("has no place taken by who was refused, and none given back twice", () => {
    const leases = table({ capacity: 1 });
    leases.open(lease("a", "192.0.2.1"), 0);
    leases.open(lease("b", "192.0.2.2"), 0);
    leases.close("b");
    leases.close("a");
    leases.close("a");
    expect(leases.open(lease("c", "192.0.2.2"), 0)).toEqual({ outcome: "opened" });
  });

  it("EW-09: lets nobody in by a place that is kept while its token is looked at", () => {
    const leases = table();
    const [first, second] = [lease("a", "192.0.2.1"), lease("b", "192.0.2.1")];
    leases.open(first, 0);
    leases.open(second, 0);
    leases.close("a");
    expect(leases.deadlineOf(first.addresses[0])).toBeUndefined();
    expect(leases.leases).toEqual([]);
    leases.admit(first); // it is gone
    leases.admit(second);
    expect(leases.leases).toEqual([second]);
  });

  it("EW-22: has room for a pair of addresses only where there is room for both, and lets both in and out together", () => {
    const leases = table({ capacity: 2 });
    const other = { family: 6, text: "2001:db8::1" } as const;
    const pair = lease("a", "192.0.2.1", { addresses: [{ family: 4, text: "192.0.2.1" }, other] });
    leases.open(lease("b", "192.0.2.2"), 0);
    expect(leases.open(pair, 0)).toMatchObject({ refusal: "capacity" });
    leases.close("b");
    enter(leases, pair);
    expect([leases.places, leases.deadlineOf(other)]).toEqual([2, 60_000]);
    leases.close("a");
    expect([leases.places, leases.deadlineOf(other)]).toEqual([0, undefined]);
  });
});
