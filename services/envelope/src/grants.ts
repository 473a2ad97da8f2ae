import type { Logger } from "@sandgate/telemetry";
import type { ClientAddress } from "./domain/client-address.ts";
import { leaseDurationMs } from "./domain/lease-duration.ts";
import type { Lease, LeaseTable } from "./domain/lease-table.ts";
import type { Refusal } from "./domain/refusal.ts";
import type { Firewall } from "./firewall/firewall.ts";
import { FirewallError } from "./firewall/firewall-error.ts";
import { type SpentTokens, SpentTokensError } from "./tokens/spent-tokens.ts";
import type { AccessClaims } from "./tokens/verify-access-token.ts";

/** How a request for a grant ended. */
export type GrantOutcome =
  | { readonly outcome: "granted"; readonly lease: Lease }
  | { readonly outcome: "refused"; readonly refusal: Refusal; readonly retryAfterMs?: number };

/** What grants are made of. */
export interface GrantsDeps {
  readonly table: LeaseTable;
  readonly spent: SpentTokens;
  readonly firewall: Firewall;
  readonly bound: { readonly maxMs: number } | { readonly minMs: number };
  readonly clock: () => number;
  /** A clock that is never set: a step of the other one lengthens no lease. */
  readonly monotonic: () => number;
  readonly newId: () => string;
  readonly logger: Logger;
}

/** The way in and out: a place in the table, the token spent, the firewall open; all of it or nothing (EW-08). */
export class Grants {
  readonly #deps: GrantsDeps;
  /** Those that are granted, by id. */
  readonly #held = new Map<string, { readonly lease: Lease; readonly claims: AccessClaims; revoke: () => void }>();

  constructor(deps: GrantsDeps) {
    this.#deps = deps;
  }

  /** Lets a client in on a good token. When it is granted, the kernel lets its addresses in already. */
  async open(addresses: Lease["addresses"], claims: AccessClaims): Promise<GrantOutcome> {
    const { table, bound, clock, monotonic, newId } = this.#deps;
    const durationMs = leaseDurationMs({ expiresAtMs: claims.expiresAtMs, nowMs: clock(), bound });
    if (durationMs === undefined) return { outcome: "refused", refusal: "token_expired" };
    const now = monotonic();
    const { issuer, subject } = claims;
    const lease: Lease = { id: newId(), addresses, issuer, subject, deadlineMs: now + durationMs };
    const place = table.open(lease, now);
    if (place.outcome === "refused") return place;
    const refusal = await this.#letIn(lease, claims).catch(async (error: unknown) => {
      await this.close(lease);
      throw error;
    });
    if (refusal !== undefined) return { outcome: "refused", refusal };
    this.#held.set(lease.id, { lease, claims, revoke: () => undefined });
    return { outcome: "granted", lease };
  }

  /**
   * Ends a lease; its place is free at once, whatever the firewall does (E-46). Resolves when each of its addresses is out that has no other
   * lease: false when that could not be done at once. The firewall then goes on trying, and the kernel ends it at the deadline.
   */
  async close(lease: Lease): Promise<boolean> {
    const { table, firewall, logger } = this.#deps;
    table.close(lease.id);
    this.#held.delete(lease.id);
    try {
      await Promise.all(lease.addresses.map((address) => firewall.set(address, table.deadlineOf(address))));
      return true;
    } catch (error) {
      logger.error({ err: error, lease: lease.id }, "an address could not be shut out at once");
      return false;
    }
  }

  /** Has `revoke` called when the lease is revoked, by who holds its connection. */
  onRevoke(lease: Lease, revoke: () => void): void {
    const held = this.#held.get(lease.id);
    if (held === undefined)
      revoke(); // it is over already
    else held.revoke = revoke;
  }

  /** Ends a lease from outside. "revoked" when its token is worth nothing any more, where tokens count once, and its addresses are out. */
  async revoke(id: string): Promise<"revoked" | "not_found" | "firewall" | "store_unavailable"> {
    const held = this.#held.get(id);
    if (held === undefined) return "not_found";
    const { lease, claims, revoke } = held;
    try {
      if (claims.tokenId !== undefined) await this.#deps.spent.forbid({ ...claims, tokenId: claims.tokenId });
    } catch (error) {
      if (!(error instanceof SpentTokensError)) throw error;
      return "store_unavailable"; // it is still granted: who asked for its end asks again
    }
    const shut = await this.close(lease);
    revoke();
    return shut ? "revoked" : "firewall";
  }

  /** Leaves nothing of a lease that it refuses. */
  async #letIn(lease: Lease, { issuer, tokenId, expiresAtMs }: AccessClaims): Promise<Refusal | undefined> {
    const { table, spent, firewall } = this.#deps;
    const { addresses } = lease;
    const address = ownerOf(addresses);
    try {
      const spending = tokenId === undefined ? "first" : await spent.spend({ issuer, tokenId, address, expiresAtMs });
      if (spending === "replayed") {
        table.close(lease.id); // the firewall never heard of it
        return "token_replayed";
      }
      table.admit(lease);
      await Promise.all(addresses.map((one) => firewall.set(one, table.deadlineOf(one))));
      return undefined;
    } catch (error) {
      if (!(error instanceof SpentTokensError || error instanceof FirewallError)) throw error;
      await this.close(lease);
      return error instanceof FirewallError ? "firewall" : "store_unavailable";
    }
  }
}

/** Which of a client's addresses a token is spent for: the same one, whichever of them asks. */
function ownerOf(addresses: Lease["addresses"]): ClientAddress {
  return addresses.find(({ family }) => family === 4) ?? addresses[0];
}
