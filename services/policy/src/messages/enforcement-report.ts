import type { Enforcement } from "@sandgate/api/policy";
import { ServiceError } from "@sandgate/rpc";
import { cleanText } from "../domain/clean-text.ts";
import { sandboxIdPattern } from "../domain/ids.ts";

/** Checks what a proxy says that it enforces. Throws REQUEST_INVALID, naming the field. */
export function readEnforcement(enforcement: Enforcement, index: number): Enforcement {
  const require = (holds: boolean, field: string): void => {
    if (!holds)
      throw new ServiceError("REQUEST_INVALID", "an enforcement is not well formed", {
        field: `enforcements[${index}].${field}`,
      });
  };
  require(sandboxIdPattern.test(enforcement.sandboxId), "sandbox_id");
  require(enforcement.revision >= 0n, "revision");
  return { ...enforcement, fault: cleanText(enforcement.fault, 1000) };
}
