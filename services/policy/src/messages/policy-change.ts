import { createHash } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { PolicySchema, type SetPolicyRequest } from "@sandgate/api/policy";
import { lintPolicy } from "@sandgate/policy";
import { ServiceError } from "@sandgate/rpc";
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

/** The largest policy in canonical form, in bytes: it must fit into a message with room to spare. */
const largestPolicyBytes = 1024 * 1024;

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
  const check = lintPolicy(request.policy);
  if (!check.ok) throw invalid(check.faults);
  const policy = toBinary(PolicySchema, create(PolicySchema, check.policy));
  if (policy.byteLength > largestPolicyBytes)
    throw invalid([{ rule: "", field: "rules", message: "the policy is larger than 1 MiB" }]);
  return {
    policy,
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

function invalid(faults: readonly { rule: string; field: string; message: string }[]): ServiceError {
  const [first] = faults;
  return new ServiceError("POLICY_INVALID", "the policy is not valid", {
    rule: first?.rule ?? "",
    field: first?.field ?? "",
    fault: first?.message ?? "",
    faults: String(faults.length),
  });
}
