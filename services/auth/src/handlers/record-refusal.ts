import type { Denial } from "@sandgate/identity";
import type { Call, ServiceError } from "@sandgate/rpc";
import { actorOfCall } from "./actor-of-call.ts";

/** Resolves when a denial is durable. */
export type DenialRecorder = (denial: Denial) => Promise<void>;

/** Records a refusal that a handler decided on, as the pipeline records its own; answers the error to throw. */
export async function recordRefusal(
  record: DenialRecorder,
  call: Call,
  about: { readonly sandboxId: string; readonly organizationId: string },
  error: ServiceError,
): Promise<ServiceError> {
  await record({
    ...actorOfCall(call),
    reason: error.reason,
    service: call.method.parent.typeName,
    method: call.method.name,
    organizationId: about.organizationId,
    sandboxId: about.sandboxId,
    callId: call.id,
  });
  return error;
}
