import { type CreateSandboxRequest, CreateSandboxRequestSchema, type SandboxTemplate } from "@sandgate/api/sandbox";
import { ServiceError } from "@sandgate/rpc";
import { findRequestIdFault } from "../domain/request-id.ts";
import type { SandboxStore } from "../store/sandbox-store.ts";
import type { TemplateStore } from "../store/template-store.ts";
import { hashMessage } from "./hash-message.ts";
import { requireNoFaults } from "./require-no-faults.ts";
import { toTemplateMessage } from "./template-message.ts";

/**
 * The template that a request to create a sandbox names, if it names one. A repetition has the answer of the first time instead: the template may
 * be another one by now, or none. Throws TEMPLATE_NOT_FOUND, REQUEST_ID_REUSED.
 */
export async function resolveTemplate(
  deps: {
    readonly store: Pick<SandboxStore, "recallAnswer">;
    readonly templates: Pick<TemplateStore, "findTemplate">;
  },
  request: CreateSandboxRequest,
  organizationId: string,
): Promise<{ readonly known?: Uint8Array | undefined; readonly template?: SandboxTemplate }> {
  if (request.template === "") return {};
  const fault = findRequestIdFault(request.requestId);
  requireNoFaults(fault === undefined ? [] : [fault]);
  const known = await deps.store.recallAnswer({
    organizationId,
    method: "CreateSandbox",
    requestId: request.requestId.toLowerCase(),
    contentHash: hashRequest(request),
  });
  if (known !== undefined) return { known };
  const record = await deps.templates.findTemplate(organizationId, request.template);
  if (record === undefined) throw new ServiceError("TEMPLATE_NOT_FOUND", "no such template", { field: "template" });
  return { template: toTemplateMessage(record) };
}

/** SHA-256 of what a request with a template asks for itself. */
export function hashRequest(request: CreateSandboxRequest): Uint8Array {
  return hashMessage(CreateSandboxRequestSchema, { ...request, requestId: "" });
}
