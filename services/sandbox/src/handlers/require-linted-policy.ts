import { create } from "@bufbuild/protobuf";
import { type Policy, PolicySchema } from "@sandgate/api/policy";
import { lintPolicy, type PolicyFault } from "@sandgate/policy";
import { ServiceError } from "@sandgate/rpc";

/** A policy in canonical form; the empty one, which denies everything, for none. Throws POLICY_INVALID. */
export function requireLintedPolicy(policy: Policy | undefined): Policy {
  const check = lintPolicy(policy ?? create(PolicySchema));
  if (!check.ok) throw policyInvalid(check.faults);
  return create(PolicySchema, check.policy);
}

function policyInvalid(faults: readonly PolicyFault[]): ServiceError {
  const [first] = faults;
  return new ServiceError("POLICY_INVALID", "the policy is not valid", {
    rule: first?.rule ?? "",
    field: first?.field ?? "",
    fault: first?.message ?? "",
    faults: String(faults.length),
  });
}
