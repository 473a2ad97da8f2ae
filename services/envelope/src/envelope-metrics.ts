import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import { type Refusal, refusals } from "./domain/refusal.ts";
import type { FirewallFault } from "./firewall/nftables-firewall.ts";
import type { GrantEnd } from "./http/hold-connection.ts";

/** What became of a request. */
export type RequestOutcome = Refusal | "granted" | "moved";

const ends: readonly GrantEnd[] = ["deadline", "client_closed", "client_sent", "revoked"];
const faults: readonly FirewallFault[] = ["change", "restore", "check"];

/** What M-Lab's envelope calls it (A.9); it counts nothing of the rest. */
const compatibleNames: Readonly<Partial<Record<RequestOutcome, string>>> = {
  granted: "success",
  method: "wrong-method",
  peer_address: "bad-remoteaddr",
  token_claims: "already past claim expiration",
  token_subject: "wrong claim subject",
  capacity: "max concurrent reached",
  subject_quota: "max concurrent reached",
  address_quota: "max concurrent reached",
  firewall: "iptables-grant-failure",
  handshake: "websocket-setup-failure",
};

/** Counts grants. Labels come from closed sets: nothing that a caller chose becomes one (EW-12). */
export class EnvelopeMetrics {
  readonly #requests: Counter<"outcome">;
  readonly #held: Histogram<"end">;
  readonly #firewallFailures: Counter<"operation">;
  readonly #compatible: Counter<"status"> | undefined;

  constructor(
    registry: Registry,
    table: { readonly capacity: number; readonly places: () => number },
    options: { readonly compatible: boolean },
  ) {
    const registers = [registry];
    this.#requests = new Counter({
      name: "sandgate_envelope_requests_total",
      help: "Requests for a grant, by what became of them.",
      labelNames: ["outcome"],
      registers,
    });
    this.#held = new Histogram({
      name: "sandgate_envelope_grant_seconds",
      help: "How long grants lasted, by how they ended.",
      labelNames: ["end"],
      buckets: [1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600],
      registers,
    });
    this.#firewallFailures = new Counter({
      name: "sandgate_envelope_firewall_failures_total",
      help: "What the firewall did not do: change who is in, restore the guard, or be as it was made.",
      labelNames: ["operation"],
      registers,
    });
    this.#compatible = options.compatible
      ? new Counter({
          name: "envelope_requests_total",
          help: "Requests by status, as M-Lab's envelope counts them.",
          labelNames: ["status"],
          registers,
        })
      : undefined;
    new Gauge({
      name: "sandgate_envelope_addresses",
      help: "Addresses that are let in now.",
      registers,
      collect() {
        this.set(table.places());
      },
    });
    new Gauge({ name: "sandgate_envelope_capacity", help: "Addresses that can be let in at once.", registers }).set(
      table.capacity,
    );
    for (const outcome of [...Object.keys(refusals), "granted", "moved"]) this.#requests.inc({ outcome }, 0);
    for (const end of ends) this.#held.zero({ end });
    for (const operation of faults) this.#firewallFailures.inc({ operation }, 0);
  }

  countRequest(outcome: RequestOutcome): void {
    this.#requests.inc({ outcome });
    const status = compatibleNames[outcome];
    if (status !== undefined) this.#compatible?.inc({ status });
  }

  countEnd(end: GrantEnd, heldMs: number): void {
    this.#held.observe({ end }, heldMs / 1000);
  }

  countFirewallFailure(operation: FirewallFault): void {
    this.#firewallFailures.inc({ operation });
  }
}
