import type { PolicyDenial } from "@sandgate/policy";

/** Why a well-formed request was denied by policy or identity: the value of `x-deny-reason`. Stable, for dashboards. */
export type DenyReason =
  | PolicyDenial
  | "sni_mismatch"
  | "sni_missing"
  | "binding_mismatch"
  | "loop_detected"
  | "quota_exceeded"
  | "credential_not_granted"
  | "policy_changed"
  | "first_bytes_timeout"
  | "token_missing"
  | "token_invalid"
  | "token_expired"
  | "token_revoked";

/** Why nothing may pass: what decides is not known at the moment. */
export type Outage = "trust_unavailable" | "policy_unavailable";

/** Why an exchange that was allowed is cut. */
export type CutReason = "policy_changed" | "token_revoked" | "credential_echoed" | Outage;

/** Why a request that was not denied could not be served: the value of `x-proxy-error`. */
export type ProxyFault =
  | "request_malformed"
  | "request_timeout"
  | "request_too_large"
  | "expectation_failed"
  | "version_not_supported"
  | "dns_failed"
  | "dns_timeout"
  | "upstream_failed"
  | "upstream_timeout"
  | "upstream_malformed"
  | "credential_unavailable"
  | Outage
  | "client_closed";

/**
 * What a client can expect. `requestable`: another policy may allow it. `final`: no approval opens it. `passing`: the same request, with a
 * credential or at another time, may be served.
 */
export type Outlook = "requestable" | "final" | "passing";

/** Who decided. */
interface DecidedBy {
  /** Empty where no rule did. */
  readonly rule: string;
  /** 0 where no policy did. */
  readonly policyRevision: bigint;
  /** Whether another policy may allow it. */
  readonly requestable: boolean;
}

const nobody: DecidedBy = { rule: "", policyRevision: 0n, requestable: false };

/** A request that is answered by the proxy itself, and not forwarded. The connection is closed after the answer. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly status: number;
  readonly reason: DenyReason | ProxyFault;
  /** `deny`: policy or identity said no. `fault`: the request, the destination or the suite is at fault. */
  readonly kind: "deny" | "fault";
  /** The rule that decided; empty where none did. */
  readonly rule: string;
  /** The revision of the policy that decided; 0 where none did. */
  readonly policyRevision: bigint;
  readonly outlook: Outlook;

  private constructor(
    kind: "deny" | "fault",
    status: number,
    reason: DenyReason | ProxyFault,
    message: string,
    by: DecidedBy,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.kind = kind;
    this.status = status;
    this.reason = reason;
    this.rule = by.rule;
    this.policyRevision = by.policyRevision;
    if (by.requestable) this.outlook = "requestable";
    else this.outlook = status === 400 || status === 403 ? "final" : "passing";
  }

  /** 400: the bytes are no request that this proxy serves. */
  static malformed(message: string): Refusal {
    return new Refusal("fault", 400, "request_malformed", message, nobody);
  }

  /** 403: the policy, or the channel's identity, does not allow it. */
  static denied(reason: DenyReason, message: string, by: Partial<DecidedBy> = {}): Refusal {
    return new Refusal("deny", 403, reason, message, { ...nobody, ...by });
  }

  /** 407: no credential, or one that is not accepted. */
  static unauthenticated(
    reason: "token_missing" | "token_invalid" | "token_expired" | "token_revoked",
    message: string,
  ): Refusal {
    return new Refusal("deny", 407, reason, message, nobody);
  }

  /** 429: the sandbox has reached one of its limits. */
  static overQuota(message: string): Refusal {
    return new Refusal("deny", 429, "quota_exceeded", message, nobody);
  }

  /** Any other fault, with its status. */
  static fault(status: number, fault: ProxyFault, message: string, options?: ErrorOptions): Refusal {
    return new Refusal("fault", status, fault, message, nobody, options);
  }
}
