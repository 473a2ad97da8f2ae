/** What a pod's projected token must be. */
export interface PodTokenRules {
  readonly issuer: string;
  readonly audience: string;
  /** The namespace of all sandboxes' pods. */
  readonly namespace: string;
  /** A token that says it lives longer is refused. */
  readonly maxLifeMs: number;
}

/** The pod that a projected token was issued to. */
export interface PodClaims {
  readonly podName: string;
  readonly podUid: string;
  readonly serviceAccount: string;
}

/** Why a token is not one of a sandbox's pod. */
export type PodTokenFault =
  | "malformed"
  | "audience"
  | "not_yet_valid"
  | "expired"
  | "life"
  | "namespace"
  | "unbound"
  | "subject";

/** The cluster's clock and ours may differ by this much. */
const CLOCK_SKEW_MS = 5_000;

const uid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
/** A DNS subdomain (RFC 1123), as pods and service accounts are named. */
const objectName = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/;

/**
 * The pod that a service account token of the cluster is bound to (G-05), at `now` in milliseconds since the epoch; or why it is refused.
 * The signature is somebody else's matter. It must be for us alone: whoever else takes it could present it here.
 */
export function readPodClaims(
  payload: Readonly<Record<string, unknown>>,
  rules: PodTokenRules,
  now: number,
): PodClaims | PodTokenFault {
  const issuedAtMs = timeOf(payload.iat);
  const notBeforeMs = payload.nbf === undefined ? issuedAtMs : timeOf(payload.nbf);
  const expiresAtMs = timeOf(payload.exp);
  if (issuedAtMs === undefined || notBeforeMs === undefined || expiresAtMs === undefined) return "malformed";
  if (payload.iss !== rules.issuer) return "malformed";
  if (!isOnly(payload.aud, rules.audience)) return "audience";
  if (issuedAtMs > now + CLOCK_SKEW_MS || notBeforeMs > now + CLOCK_SKEW_MS) return "not_yet_valid";
  if (now >= expiresAtMs + CLOCK_SKEW_MS) return "expired";
  if (expiresAtMs <= issuedAtMs || expiresAtMs - issuedAtMs > rules.maxLifeMs) return "life";
  const bound = recordOf(payload["kubernetes.io"]);
  if (bound.namespace !== rules.namespace) return "namespace";
  const { name: podName, uid: podUid } = recordOf(bound.pod);
  if (!isText(podName, objectName) || !isText(podUid, uid)) return "unbound";
  const { name: serviceAccount } = recordOf(bound.serviceaccount);
  if (!isText(serviceAccount, objectName)) return "subject";
  if (payload.sub !== accountSubject(rules.namespace, serviceAccount)) return "subject";
  return { podName, podUid, serviceAccount };
}

/** A service account, as tokens and token reviews name it. */
export function accountSubject(namespace: string, serviceAccount: string): string {
  return `system:serviceaccount:${namespace}:${serviceAccount}`;
}

/** NumericDate (RFC 7519), in milliseconds. */
function timeOf(value: unknown): number | undefined {
  return typeof value === "number" && value > 0 && value <= 0xff_ffff_ffff ? Math.floor(value * 1000) : undefined;
}

function isOnly(audiences: unknown, audience: string): boolean {
  return Array.isArray(audiences) ? audiences.length === 1 && audiences[0] === audience : audiences === audience;
}

function isText(value: unknown, pattern: RegExp): value is string {
  return typeof value === "string" && pattern.test(value);
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}; // a JSON object has string keys
}
