import type { AuditLog } from "@sandgate/audit";
import type { Call, ServiceError } from "@sandgate/rpc";
import { actorOfCall } from "./actor-of-call.ts";

/** Records a refusal that a handler decided on, as the pipeline records its own; answers the error to throw. */
export async function recordRefusal(
  audit: Pick<AuditLog, "record">,
  call: Call,
  about: { readonly sandboxId: string; readonly organizationId: string },
  error: ServiceError,
): Promise<ServiceError> {
  await audit.record({
    action: "call.denied",
    ...actorOfCall(call),
    ...about,
    details: {
      reason: error.reason,
      method: `${call.method.parent.typeName}/${call.method.name}`,
      call_id: call.id,
    },
  });
  return error;
}
