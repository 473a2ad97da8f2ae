import type { Call, ServiceError } from "@sandgate/rpc";
import { type Denial, denialOf } from "../steps/identity-steps.ts";

/** Resolves when a denial is durable. */
export type DenialRecorder = (denial: Denial) => Promise<void>;

/** Records a refusal that a handler decided on, as the pipeline records its own; answers the error to throw. */
export async function recordRefusal(
  record: DenialRecorder,
  call: Call,
  about: { readonly sandboxId: string; readonly organizationId: string },
  error: ServiceError,
): Promise<ServiceError> {
  const { sandboxId, organizationId } = about;
  await record({ ...denialOf(call, error), sandboxId, organizationId });
  return error;
}
