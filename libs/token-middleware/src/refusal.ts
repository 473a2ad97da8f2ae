import type { ContainerToken } from "./container-token.ts";

/** What a request shows. A header that was sent twice is both values, joined by a comma, as the Fetch API has it. */
export interface Presentation {
  readonly authorization: string | undefined;
  /** X-Container-ID. */
  readonly containerId: string | undefined;
}

/** A response that ends a request. The body is JSON, `{"error": …}`. */
export interface Refusal {
  readonly status: 401 | 403 | 503;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What became of a request. */
export type Verdict =
  | { readonly outcome: "accepted"; readonly token: ContainerToken }
  | { readonly outcome: "refused"; readonly refusal: Refusal };

/** Why a request is refused. */
export type RefusalReason = "missing" | "expired" | "invalid" | "mismatch" | "undecided";

interface Answer {
  readonly status: Refusal["status"];
  readonly error: string;
  /** The attributes of the challenge (RFC 6750, section 3), behind the realm; undefined: no challenge. */
  readonly challenge?: string;
}

/** S0-10 to S0-13. Who shows nothing is told no error code (RFC 6750, section 3.1). */
const answers: Readonly<Record<RefusalReason, Answer>> = {
  missing: { status: 401, error: "Missing token", challenge: "" },
  expired: {
    status: 401,
    error: "Token expired",
    challenge: ', error="invalid_token", error_description="the token has expired"',
  },
  invalid: {
    status: 401,
    error: "Invalid token",
    challenge: ', error="invalid_token", error_description="the token is not valid here"',
  },
  mismatch: {
    status: 403,
    error: "Container ID mismatch",
    challenge: ', error="invalid_token", error_description="the token is bound to another container"',
  },
  undecided: { status: 503, error: "Token cannot be checked now" },
};

/** The response for a reason. */
export function createRefusal(reason: RefusalReason, realm: string): Refusal {
  const { status, error, challenge } = answers[reason];
  return {
    status,
    headers: {
      "content-type": "application/json",
      "cache-control": "no-store",
      ...(challenge === undefined
        ? { "retry-after": "1" }
        : { "www-authenticate": `Bearer realm="${realm}"${challenge}` }),
    },
    body: JSON.stringify({ error }),
  };
}
