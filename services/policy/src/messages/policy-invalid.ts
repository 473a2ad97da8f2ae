import type { PolicyFault } from "@sandgate/policy";
import { ServiceError } from "@sandgate/rpc";

/** POLICY_INVALID with the first fault's rule and field, and how many there are. */
export function policyInvalid(faults: readonly PolicyFault[]): ServiceError {
  const [first] = faults;
  return new ServiceError("POLICY_INVALID", "the policy is not valid", {
    rule: first?.rule ?? "",
    field: first?.field ?? "",
    fault: first?.message ?? "",
    faults: String(faults.length),
  });
}
