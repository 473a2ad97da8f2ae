import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  CreateSandboxTemplateResponseSchema,
  type SandboxService,
  type SandboxTemplate,
  SandboxTemplateSchema,
} from "@sandgate/api/sandbox";
import type { Handler } from "@sandgate/rpc";
import { findSecretFaults } from "../domain/find-secret-faults.ts";
import { findLabelFaults } from "../domain/labels.ts";
import { parseSpec } from "../domain/parse-spec.ts";
import { findRequestIdFault } from "../domain/request-id.ts";
import { findNameFault } from "../domain/sandbox-name.ts";
import type { TemplateRecord, TemplateStore } from "../store/template-store.ts";
import { callerOf } from "./caller-of.ts";
import { hashMessage } from "./hash-message.ts";
import { requireLintedPolicy } from "./require-linted-policy.ts";
import { requireNoFaults } from "./require-no-faults.ts";
import { requireUser } from "./require-user.ts";
import { toTemplateMessage } from "./template-message.ts";

/** SandboxService.CreateSandboxTemplate: keeps what sandboxes are to be made from, if one could be. */
export function createSandboxTemplate(deps: {
  readonly templates: Pick<TemplateStore, "createTemplate">;
  readonly clock: () => number;
}): Handler<typeof SandboxService.method.createSandboxTemplate> {
  return async (request, call) => {
    const { organizationId, userId } = requireUser(call);
    const content = readTemplate(request.requestId, request.template);
    const requestId = request.requestId.toLowerCase();
    const template: TemplateRecord = {
      organizationId,
      name: content.name,
      content: toBinary(SandboxTemplateSchema, content),
      creatorUserId: userId,
      createTimeMs: deps.clock(),
    };
    const answer = await deps.templates.createTemplate({
      template,
      request: {
        ...{ organizationId, method: "CreateSandboxTemplate", requestId },
        contentHash: hashMessage(SandboxTemplateSchema, content),
      },
      answer: toBinary(
        CreateSandboxTemplateResponseSchema,
        create(CreateSandboxTemplateResponseSchema, { template: toTemplateMessage(template) }),
      ),
      event: {
        ...callerOf(call),
        action: "sandbox_template.created",
        details: { template: content.name, request_id: requestId },
      },
    });
    return fromBinary(CreateSandboxTemplateResponseSchema, answer);
  };
}

/** What is kept of a template. Throws REQUEST_INVALID with every fault, or POLICY_INVALID. */
function readTemplate(requestId: string, template: SandboxTemplate | undefined): SandboxTemplate {
  const { name = "", spec, labels = {} } = template ?? {};
  const own = [
    findNameFault(name),
    ...parseSpec(spec).faults,
    ...findSecretFaults(spec?.environment ?? {}, "spec.environment"),
    ...findLabelFaults(labels),
  ].filter((fault) => fault !== undefined);
  const idFault = findRequestIdFault(requestId);
  requireNoFaults([
    ...(idFault === undefined ? [] : [idFault]),
    ...own.map(({ field, fault }) => ({ field: `template.${field}`, fault })),
  ]);
  return create(SandboxTemplateSchema, {
    name,
    labels,
    ...(spec !== undefined && { spec }),
    policy: requireLintedPolicy(template?.policy),
  });
}
