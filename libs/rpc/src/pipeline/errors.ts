import { ServiceError } from "../service-error.ts";

/**
 * What the caller is told. It stands outermost: whatever is thrown anywhere becomes a ServiceError here; what is not one
 * already becomes INTERNAL with nothing of the cause in it but the call's id.
 */
export function toServiceError(thrown: unknown, callId: string): ServiceError {
  if (thrown instanceof ServiceError) return thrown;
  return new ServiceError("INTERNAL", "internal error", { call_id: callId }, { cause: thrown });
}
