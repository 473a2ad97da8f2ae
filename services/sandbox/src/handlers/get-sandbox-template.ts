import type { SandboxService } from "@sandgate/api/sandbox";
import { type Handler, ServiceError } from "@sandgate/rpc";
import type { TemplateStore } from "../store/template-store.ts";
import { requireUser } from "./require-user.ts";
import { toTemplateMessage } from "./template-message.ts";

/** SandboxService.GetSandboxTemplate: one template of the caller's organization. */
export function getSandboxTemplate(deps: {
  readonly templates: Pick<TemplateStore, "findTemplate">;
}): Handler<typeof SandboxService.method.getSandboxTemplate> {
  return async ({ name }, call) => {
    const record = await deps.templates.findTemplate(requireUser(call).organizationId, name);
    if (record === undefined) throw new ServiceError("TEMPLATE_NOT_FOUND", "no such template", { field: "name" });
    return { template: toTemplateMessage(record) };
  };
}
