import type { ClientAddress } from "./client-address.ts";

/** A lease: until the deadline, a client's address is let in. */
export interface Lease {
  readonly id: string;
  readonly address: ClientAddress;
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

/** Who is in. Leases of one address take one place (EW-18), and it stays in until the last of them ends. */
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
    const ofAddress = this.#byAddress.get(lease.address.text);
    const ofSubject = this.#bySubject.get(subjectKey(lease));
    if (ofAddress !== undefined && ofAddress.size >= this.#limits.perAddress)
      return refuse("address_quota", ofAddress, nowMs);
    if (ofSubject !== undefined && ofSubject.size >= this.#limits.perSubject)
      return refuse("subject_quota", ofSubject, nowMs);
    if (ofAddress === undefined && this.#byAddress.size >= this.#limits.capacity)
      return refuse("capacity", this.#byId.values(), nowMs);
    this.#byId.set(lease.id, lease);
    add(this.#byAddress, lease.address.text, lease);
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
    remove(this.#byAddress, lease.address.text, lease);
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
