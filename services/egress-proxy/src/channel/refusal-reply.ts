import type { Refusal } from "../decision/refusal.ts";

/** The name under which a sandbox reads what it was refused. No policy is asked for it, and nothing is dialled. */
export const decisionsHost = "decisions.sandgate";

const phrases: Readonly<Record<number, string>> = {
  400: "Bad Request",
  403: "Forbidden",
  407: "Proxy Authentication Required",
  408: "Request Timeout",
  417: "Expectation Failed",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  505: "HTTP Version Not Supported",
};

/** What a refusal was about. */
export interface RefusedRequest {
  readonly decisionId: string;
  readonly sandboxId: string;
  /** Empty where it was not understood. */
  readonly host: string;
  readonly port: number;
}

/**
 * The answer to a request that is not forwarded: status, the reason in a header, and a problem+json body (RFC 9457) which,
 * for a denial by policy, says how to ask for access. It quotes nothing of the request but the canonical host.
 */
export function writeRefusal(
  refusal: Refusal,
  about: RefusedRequest & {
    /** Without a body, for HEAD. */
    readonly headOnly: boolean;
  },
): string {
  const title = phrases[refusal.status] ?? "Error";
  const body = `${JSON.stringify({ type: "about:blank", title, ...explainRefusal(refusal, about) })}\n`;
  const fields = [
    `HTTP/1.1 ${refusal.status} ${title}`,
    "content-type: application/problem+json",
    `content-length: ${Buffer.byteLength(body)}`,
    "cache-control: no-store",
    "connection: close",
    refusal.kind === "deny" ? `x-deny-reason: ${refusal.reason}` : `x-proxy-error: ${refusal.reason}`,
    `x-sandgate-decision: ${about.decisionId}`,
  ];
  if (refusal.status === 407)
    fields.push('proxy-authenticate: Basic realm="egress"', 'proxy-authenticate: Bearer realm="egress"');
  if (refusal.status === 429 || refusal.status === 503) fields.push("retry-after: 1");
  return `${fields.join("\r\n")}\r\n\r\n${about.headOnly ? "" : body}`;
}

/** What a sandbox is told of a refusal, as members of a JSON object. */
export function explainRefusal(refusal: Refusal, about: RefusedRequest): Readonly<Record<string, unknown>> {
  const byPolicy = refusal.status === 403 && about.host !== "";
  return {
    status: refusal.status,
    detail: refusal.message,
    reason: refusal.reason,
    outlook: refusal.outlook,
    decision_id: about.decisionId,
    page: `http://${decisionsHost}/${about.decisionId}`,
    ...(about.host === "" ? {} : { host: about.host, port: about.port }),
    ...(refusal.rule === "" ? {} : { rule: refusal.rule }),
    ...(byPolicy ? { how_to_ask: howToAsk(refusal, about) } : {}),
  };
}

function howToAsk({ reason, outlook }: Refusal, about: RefusedRequest): string {
  const { decisionId, sandboxId, host, port } = about;
  const give = `give an operator this decision id and destination (${host}:${port})`;
  if (outlook === "requestable" && (reason === "host_not_allowed" || reason === "port_not_allowed"))
    return (
      `${give}; they propose it with \`sandgate policy propose ${sandboxId} --decision ${decisionId}\`, review what it would change, ` +
      "and approve it for a time or for good"
    );
  return (
    `${give}; they read the policy with \`sandgate policy get ${sandboxId}\`, and where a rule can mend it store one with ` +
    `\`sandgate policy set ${sandboxId} FILE\``
  );
}
