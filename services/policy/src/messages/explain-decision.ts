import { Outlook, type Policy, type Rule, Verdict } from "@sandgate/api/policy";
import {
  type Asked,
  compilePolicy,
  decide,
  type PolicyVerdict,
  parseWireHost,
  type ReadonlyPolicy,
} from "@sandgate/policy";
import type { DecisionRecord } from "../domain/decision-record.ts";

/** A decision with the policies around it. */
export interface DecisionContext {
  readonly decision: DecisionRecord;
  /** The revision that decided; undefined where none did, or it is not known. */
  readonly decidedBy: Policy | undefined;
  readonly current: { readonly revision: bigint; readonly policy: Policy };
  /** Whether the sandbox is gone. */
  readonly gone: boolean;
}

/** Why a proxy decided as it did, and what to do about it. */
export interface DecisionExplanation {
  readonly rule: Rule | undefined;
  /** What the newest policy makes of the destination; undefined where the decision has none. */
  readonly now: PolicyVerdict | undefined;
  readonly outlook: Outlook;
  readonly sentences: readonly string[];
  readonly nextCommand: string;
}

/** Explains a decision at a moment (milliseconds since the epoch). */
export function explainDecision(context: DecisionContext, nowMs: number): DecisionExplanation {
  const { decision, decidedBy, current, gone } = context;
  const rule = decidedBy?.rules.find(({ name }) => name === decision.rule);
  const now = judgeAnew(decision, current.policy, nowMs);
  const byPolicy = isOfPolicy(decision);
  const outlook = byPolicy ? outlookOf(now) : identityOutlook(decision);
  const sentences = [
    describe(decision, rule),
    ...(byPolicy ? [describeNow(now, { revision: current.revision, gone, known: decision.reason })] : []),
  ];
  return { rule, now, outlook, sentences, nextCommand: gone ? "" : mendOf(decision, outlook) };
}

/** Whether a policy decided, and not identity, the tunnel's own bytes or the network. */
function isOfPolicy({ verdict, reason, host }: DecisionRecord): boolean {
  return host !== "" && verdict !== Verdict.FAILED && (reason === "" || policyReasons.has(reason));
}

const policyReasons: ReadonlySet<string> = new Set([
  ...["host_not_allowed", "port_not_allowed", "ip_not_allowed"],
  ...["protocol_not_allowed", "method_not_allowed", "path_not_allowed", "policy_changed"],
]);

function judgeAnew(
  { host, port, method }: DecisionRecord,
  policy: ReadonlyPolicy,
  nowMs: number,
): PolicyVerdict | undefined {
  const parsed = parseWireHost(host) ?? parseWireHost(`[${host}]`);
  if (parsed === undefined || port === 0) return undefined;
  const tunnel: Asked = { kind: port === 443 ? "tls" : "connection" };
  const asked: Asked = method === "CONNECT" ? tunnel : { kind: "request", method, path: undefined };
  return decide(compilePolicy(policy), { host: parsed, port }, nowMs, asked);
}

function outlookOf(now: PolicyVerdict | undefined): Outlook {
  if (now === undefined) return Outlook.FINAL;
  if (now.verdict !== "deny") return Outlook.ALLOWED;
  return now.forbidden ? Outlook.FINAL : Outlook.REQUESTABLE;
}

function identityOutlook({ verdict, reason }: DecisionRecord): Outlook {
  return verdict === Verdict.FAILED || passingReasons.has(reason) ? Outlook.PASSING : Outlook.FINAL;
}

const passingReasons: ReadonlySet<string> = new Set([
  ...["token_missing", "token_invalid", "token_expired", "token_revoked", "quota_exceeded", "first_bytes_timeout"],
  ...["request_timeout", "trust_unavailable", "policy_unavailable", "client_closed", "credential_unavailable"],
]);

function describe(decision: DecisionRecord, found: Rule | undefined): string {
  const { verdict, reason, rule, policyRevision, host, port, address } = decision;
  const what = host === "" ? "a request that could not be understood" : `${host}:${port}`;
  const by = rule === "" ? `revision ${policyRevision}` : `rule ${rule} of revision ${policyRevision}`;
  const lost = rule !== "" && found === undefined ? ", which is not kept any more" : "";
  switch (verdict) {
    case Verdict.ALLOWED:
      if (reason !== "") return `${what} was let through by ${by}, and cut later: ${meaningOf(reason)}`;
      return `${what} was let through by ${by}${lost}${address === "" ? "" : `, to ${address}`}`;
    case Verdict.WOULD_DENY:
      return `${what} was let through because the policy observes; it would have been denied: ${meaningOf(reason)}`;
    case Verdict.FAILED:
      return `${what} was allowed, and could not be served: ${meaningOf(reason)}`;
    default:
      return `${what} was denied${policyRevision === 0n ? "" : ` by ${by}`}: ${meaningOf(reason)}`;
  }
}

function meaningOf(reason: string): string {
  return meanings[reason] ?? reason;
}

const meanings: Readonly<Record<string, string>> = {
  host_not_allowed: "no rule allows the host, or one forbids it",
  port_not_allowed: "a rule allows the host, and not this port",
  ip_not_allowed: "the address is private, or one that no policy opens",
  protocol_not_allowed:
    "the rules allow the host, and not what was spoken: TLS where only requests are allowed, or neither TLS nor HTTP",
  method_not_allowed: "a rule allows the host, and not this method",
  path_not_allowed: "a rule allows the host, and not this path, or the path has no single meaning",
  policy_changed: "the policy that came meanwhile does not allow it",
  sni_mismatch: "the name in the TLS handshake is another than the tunnel's",
  sni_missing: "the TLS handshake names no host",
  binding_mismatch: "the token is another sandbox's, or not one for the proxy",
  loop_detected: "it had been through the proxy before",
  quota_exceeded: "the sandbox had reached a limit of the proxy",
  credential_not_granted: "it carried a placeholder for a secret that is not granted there",
  credential_echoed: "the origin sent a secret back",
  first_bytes_timeout: "nothing was sent through the tunnel",
  token_missing: "it came without the sandbox's token",
  token_invalid: "its token is not valid",
  token_expired: "its token had expired",
  token_revoked: "its token, or its sandbox, was revoked",
  request_malformed: "it was no request that has one meaning",
  dns_failed: "the name could not be resolved",
  dns_timeout: "the name could not be resolved in time",
  upstream_failed: "the origin could not be reached, or went away",
  upstream_timeout: "the origin did not answer in time",
  upstream_malformed: "the origin's answer could not be read",
  client_closed: "the client went away",
};

function describeNow(
  now: PolicyVerdict | undefined,
  { revision, gone, known }: { readonly revision: bigint; readonly gone: boolean; readonly known: string },
): string {
  const why = now === undefined || now.verdict === "allow" || now.reason === known ? "" : `: ${meaningOf(now.reason)}`;
  const policy = gone ? `revision ${revision}, the last one,` : `revision ${revision}, which is in force now,`;
  if (now === undefined) return "no policy can allow it";
  const rule = now.rule === "" ? "" : ` (rule ${now.rule})`;
  switch (now.verdict) {
    case "allow":
      return `${policy} allows it${rule}`;
    case "would_deny":
      return `${policy} observes: it lets it through, and would deny it${rule}${why}`;
    case "deny":
      return now.forbidden
        ? `${policy} forbids it${rule === "" ? ", as every policy does" : rule}`
        : `${policy} does not allow it${rule}${why}`;
  }
}

function mendOf({ decisionId, sandboxId, reason }: DecisionRecord, outlook: Outlook): string {
  if (outlook === Outlook.REQUESTABLE)
    return reason === "host_not_allowed" || reason === "port_not_allowed"
      ? `sandgate policy propose ${sandboxId} --decision ${decisionId}`
      : `sandgate policy get ${sandboxId}`;
  return outlook === Outlook.FINAL ? `sandgate policy get ${sandboxId}` : "";
}
