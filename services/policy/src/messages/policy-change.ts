import { createHash } from "node:crypto";
import type { SetPolicyRequest } from "@sandgate/api/policy";
import { ServiceError } from "@sandgate/rpc";
import { canonicalPolicy } from "./canonical-policy.ts";
import { readRequestId } from "./request-id.ts";

/** A policy as it will be stored. */
export interface PolicyChange {
  /** A sandgate.policy.v1.Policy in canonical form. */
  readonly policy: Uint8Array;
  /** Undefined: whichever revision is the newest. */
  readonly expectedRevision: bigint | undefined;
  /** Undefined: the request is not to be recognized if it is repeated. */
  readonly requestId: string | undefined;
}

/**
 * Checks a SetPolicy request and brings its policy into canonical form.
 * Throws POLICY_INVALID with the first fault's rule and field, and REQUEST_INVALID for the other fields.
 */
export function readPolicyChange(request: SetPolicyRequest): PolicyChange {
  if (request.policy === undefined)
    throw new ServiceError("REQUEST_INVALID", "a policy is missing", { field: "policy" });
  if (request.expectedRevision < 0n)
    throw new ServiceError("REQUEST_INVALID", "a revision is not negative", { field: "expected_revision" });
  const requestId = readRequestId(request.requestId);
  return {
    policy: canonicalPolicy(request.policy),
    expectedRevision: request.expectedRevision === 0n ? undefined : request.expectedRevision,
    requestId,
  };
}

/** What a repeated request must have in common with the first: everything that it asked for, and who asked. */
export function digestPolicyChange(change: PolicyChange, sandboxId: string, author: string): Uint8Array {
  const { policy, expectedRevision } = change;
  return createHash("sha256")
    .update(JSON.stringify(["SetPolicy", sandboxId, author, String(expectedRevision ?? 0n)]))
    .update(policy)
    .digest();
}
