import { createHash } from "node:crypto";
import type { SandboxService } from "@sandgate/api/sandbox";
import type { Handler } from "@sandgate/rpc";
import { findRequestIdFault } from "../domain/request-id.ts";
import type { TemplateStore } from "../store/template-store.ts";
import { callerOf } from "./caller-of.ts";
import { requireNoFaults } from "./require-no-faults.ts";
import { requireUser } from "./require-user.ts";

/** SandboxService.DeleteSandboxTemplate: forgets a template; what was made from it stays. */
export function deleteSandboxTemplate(deps: {
  readonly templates: Pick<TemplateStore, "deleteTemplate">;
  readonly clock: () => number;
}): Handler<typeof SandboxService.method.deleteSandboxTemplate> {
  return async (request, call) => {
    const { organizationId } = requireUser(call);
    const { name } = request;
    const fault = findRequestIdFault(request.requestId);
    requireNoFaults(fault === undefined ? [] : [fault]);
    const requestId = request.requestId.toLowerCase();
    await deps.templates.deleteTemplate({
      organizationId,
      name,
      request: {
        ...{ organizationId, method: "DeleteSandboxTemplate", requestId },
        contentHash: createHash("sha256").update(name).digest(),
      },
      answer: new Uint8Array(),
      event: {
        ...callerOf(call),
        action: "sandbox_template.deleted",
        details: { template: name, request_id: requestId },
      },
      nowMs: deps.clock(),
    });
    return {};
  };
}
