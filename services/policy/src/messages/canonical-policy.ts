import { create, toBinary } from "@bufbuild/protobuf";
import { PolicySchema } from "@sandgate/api/policy";
import { lintPolicy, type ReadonlyPolicy } from "@sandgate/policy";
import { policyInvalid } from "./policy-invalid.ts";

/** The largest policy in canonical form, in bytes: it must fit into a message with room to spare. */
const largestPolicyBytes = 1024 * 1024;

/** A policy as it is stored: a sandgate.policy.v1.Policy in canonical form. Throws POLICY_INVALID with the first fault's rule and field. */
export function canonicalPolicy(policy: ReadonlyPolicy): Uint8Array {
  const check = lintPolicy(policy);
  if (!check.ok) throw policyInvalid(check.faults);
  const bytes = toBinary(PolicySchema, create(PolicySchema, check.policy));
  if (bytes.byteLength > largestPolicyBytes)
    throw policyInvalid([{ rule: "", field: "rules", message: "the policy is larger than 1 MiB" }]);
  return bytes;
}
