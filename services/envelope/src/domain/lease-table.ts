import type { ClientAddress } from "./client-address.ts";

/** A lease: until the deadline, a client's addresses are let in. */
export interface Lease {
  readonly id: string;
  /** The address that asked, and with it the one of the other family that its token names (EW-22). */
  readonly addresses: readonly [ClientAddress, ...ClientAddress[]];
  /** Who vouches for it: the token's issuer and subject. */
  readonly issuer: string;
  readonly subject: string;
  /** On a clock that is never set. */
  readonly deadlineMs: number;
}

/** Why there is no room for a lease. */
export type LeaseRefusal = "capacity" | "subject_quota" | "address_quota";

export type LeaseOutcome =
  | { readonly outcome: "opened" }
  | { readonly outcome: "refused"; readonly refusal: LeaseRefusal; readonly retryAfterMs: number };

/** Who is in. An address takes one place, however many leases it has (EW-18), and it stays in until the last of them ends. */
export class LeaseTable {
  readonly #limits: LeaseLimits;
  readonly #byId = new Map<string, Lease>();
  readonly #admitted = new Set<Lease>();
  readonly #byAddress = new Map<string, Set<Lease>>();
  readonly #bySubject = new Map<string, Set<Lease>>();

  constructor(limits: LeaseLimits) {
    this.#limits = limits;
  }

  /**
   * Keeps a place for a lease, or says why not and when it is worth asking again: when a lease that is in the way ends. It lets nobody in
   * before it is admitted.
   */
  open(lease: Lease, nowMs: number): LeaseOutcome {
    const ofSubject = this.#bySubject.get(subjectKey(lease));
    let newAddresses = 0;
    for (const { text } of lease.addresses) {
      const ofAddress = this.#byAddress.get(text);
      if (ofAddress === undefined) newAddresses += 1;
      else if (ofAddress.size >= this.#limits.perAddress) return refuse("address_quota", ofAddress, nowMs);
    }
    if (ofSubject !== undefined && ofSubject.size >= this.#limits.perSubject)
      return refuse("subject_quota", ofSubject, nowMs);
    const taken = this.#byAddress.size + newAddresses;
    if (newAddresses > 0 && ofSubject !== undefined && taken > this.#limits.capacity - this.#limits.reserved)
      return refuse(taken > this.#limits.capacity ? "capacity" : "subject_quota", this.#byId.values(), nowMs);
    if (newAddresses > 0 && taken > this.#limits.capacity) return refuse("capacity", this.#byId.values(), nowMs);
    this.#byId.set(lease.id, lease);
    for (const { text } of lease.addresses) add(this.#byAddress, text, lease);
    add(this.#bySubject, subjectKey(lease), lease);
    return { outcome: "opened" };
  }

  /** Lets a lease in that has its place. */
  admit(lease: Lease): void {
    if (this.#byId.get(lease.id) === lease) this.#admitted.add(lease);
  }

  /** Ends a lease; one that is not there is no fault. */
  close(id: string): void {
    const lease = this.#byId.get(id);
    if (lease === undefined) return;
    this.#byId.delete(id);
    this.#admitted.delete(lease);
    for (const { text } of lease.addresses) remove(this.#byAddress, text, lease);
    remove(this.#bySubject, subjectKey(lease), lease);
  }

  /** Until when an address is in; undefined if it is not. */
  deadlineOf(address: ClientAddress): number | undefined {
    const leases = [...(this.#byAddress.get(address.text) ?? [])].filter((lease) => this.#admitted.has(lease));
    return leases.length === 0 ? undefined : Math.max(...leases.map(({ deadlineMs }) => deadlineMs));
  }

  /** Those that are in. */
  get leases(): readonly Lease[] {
    return [...this.#admitted];
  }

  /** How many addresses have a place. */
  get places(): number {
    return this.#byAddress.size;
  }
}

/** How many leases there may be. */
export interface LeaseLimits {
  /** Addresses. */
  readonly capacity: number;
  /** Of these, addresses that only subjects without a lease may take: so many always find room, however many leases the others ask for. */
  readonly reserved: number;
  /** Leases of one subject. */
  readonly perSubject: number;
  /** Leases of one address. */
  readonly perAddress: number;
}

function refuse(refusal: LeaseRefusal, inTheWay: Iterable<Lease>, nowMs: number): LeaseOutcome {
  let firstEnd = Number.POSITIVE_INFINITY;
  for (const { deadlineMs } of inTheWay) firstEnd = Math.min(firstEnd, deadlineMs);
  return { outcome: "refused", refusal, retryAfterMs: Math.max(0, firstEnd - nowMs) };
}

function subjectKey({ issuer, subject }: Lease): string {
  return JSON.stringify([issuer, subject]);
}

function add(index: Map<string, Set<Lease>>, key: string, lease: Lease): void {
  const leases = index.get(key);
  if (leases === undefined) index.set(key, new Set([lease]));
  else leases.add(lease);
}

function remove(index: Map<string, Set<Lease>>, key: string, lease: Lease): void {
  const leases = index.get(key);
  leases?.delete(lease);
  if (leases?.size === 0) index.delete(key);
}
