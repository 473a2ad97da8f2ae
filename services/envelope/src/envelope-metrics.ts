import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import { type Refusal, refusals } from "./domain/refusal.ts";
import type { FirewallFault } from "./firewall/guard-keeper.ts";
import type { AccessJudgement } from "./http/access-request.ts";
import type { GrantEnd } from "./http/hold-connection.ts";

/** What became of a request. */
export type RequestOutcome = Refusal | "granted" | "moved";

const ends: readonly GrantEnd[] = ["deadline", "client_closed", "client_sent", "revoked"];
const faults: readonly FirewallFault[] = ["change", "restore", "check", "altered"];

/** What M-Lab's envelope calls it (A.9); it counts nothing of the rest. */
const compatibleNames: Readonly<Partial<Record<RequestOutcome, string>>> = {
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

/** What M-Lab's token controller calls it; all other faults of a token are "invalid token". */
const compatibleReasons: Readonly<Partial<Record<Refusal, string>>> = {
  token_missing: "missing",
  token_issuer: "invalid issuer claim (iss)",
  token_audience: "invalid audience claim (aud)",
  token_expired: "token is expired (exp)",
  token_not_yet_valid: "token not valid yet (nbf)",
};

/** Counts grants. Labels come from closed sets: nothing that a caller chose becomes one (EW-12). */
export class EnvelopeMetrics {
  readonly #requests: Counter<"outcome">;
  readonly #held: Histogram<"end">;
  readonly #firewallFailures: Counter<"operation">;
  readonly #compatible: Counter<"status"> | undefined;
  readonly #compatibleTransmits: Counter<"request" | "protocol"> | undefined;
  readonly #compatibleTokens: Counter<"path" | "request" | "reason"> | undefined;

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
      help: "What the firewall did not do: change who is in, restore the guard, say how it is, or stay as it was made (altered).",
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
    this.#compatibleTransmits = options.compatible
      ? new Counter({
          name: "controller_access_txcontroller_requests_total",
          help: "Requests by whether the rate of what is transmitted let them pass, as M-Lab's envelope counts them.",
          labelNames: ["request", "protocol"],
          registers,
        })
      : undefined;
    this.#compatibleTokens = options.compatible
      ? new Counter({
          name: "controller_access_token_requests_total",
          help: "Requests by what their token was, as M-Lab's envelope counts them.",
          labelNames: ["path", "request", "reason"],
          registers,
        })
      : undefined;
    for (const status of [...new Set(Object.values(compatibleNames)), "success", "panic-failure"])
      this.#compatible?.inc({ status }, 0);
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

  /** Counts what a request's token was, and whether the transmit limit let it pass, in compatible mode. Reasons come from a closed set, and issuers from the configuration (EW-12). */
  countJudgement(judgement: AccessJudgement): void {
    if (judgement.outcome === "moved") return;
    this.#countTransmit(judgement);
    const { path = "unknown" } = judgement;
    const count = (request: "accepted" | "rejected", reason: string) =>
      this.#compatibleTokens?.inc({ path, request, reason });
    const issuer = judgement.outcome === "good" ? judgement.claims.issuer : judgement.issuer;
    const refusal = judgement.outcome === "good" ? undefined : judgement.refusal;
    if (refusal === "path") count("accepted", "unenforced-path");
    else if (issuer !== undefined) count("accepted", issuer || "empty");
    else if (refusal?.startsWith("token_") === true) count("rejected", compatibleReasons[refusal] ?? "invalid token");
  }

  /** Counts whether the rate of what is transmitted let a request pass, in compatible mode. */
  #countTransmit(judgement: AccessJudgement): void {
    const isRefused = judgement.outcome === "refused" && judgement.refusal === "transmit_rate";
    this.#compatibleTransmits?.inc({ request: isRefused ? "rejected" : "accepted", protocol: "http" });
  }

  /** Counts a lease that has ended, and whether its address was shut out at once; in compatible mode. */
  countShut(shut: boolean): void {
    this.#compatible?.inc({ status: shut ? "success" : "panic-failure" });
  }

  countEnd(end: GrantEnd, heldMs: number): void {
    this.#held.observe({ end }, heldMs / 1000);
  }

  countFirewallFailure(operation: FirewallFault): void {
    this.#firewallFailures.inc({ operation });
  }
}
