import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type CreateSandboxRequest,
  CreateSandboxResponseSchema,
  type SandboxService,
  type SandboxTemplate,
} from "@sandgate/api/sandbox";
import { type Handler, ServiceError } from "@sandgate/rpc";
import type { QuotaOf } from "../domain/quota.ts";
import { nameOfId } from "../domain/sandbox-id.ts";
import type { SandboxDriver } from "../drivers/sandbox-driver.ts";
import type { SandboxStore } from "../store/sandbox-store.ts";
import type { TemplateStore } from "../store/template-store.ts";
import { applyTemplate } from "./apply-template.ts";
import { callerOf } from "./caller-of.ts";
import { readCreateRequest } from "./read-create-request.ts";
import { requireUser, type User } from "./require-user.ts";
import { hashRequest, resolveTemplate } from "./resolve-template.ts";
import { toSandboxMessage } from "./sandbox-message.ts";

/** What the handler of CreateSandbox works with. */
export interface CreateSandboxDeps {
  readonly store: Pick<SandboxStore, "create" | "recallAnswer">;
  readonly templates: Pick<TemplateStore, "findTemplate">;
  readonly driver: Pick<SandboxDriver, "isolation" | "findImageFault">;
  readonly reconciler: { whenAddressable(sandboxId: string, signal: AbortSignal): Promise<void> };
  readonly quotaOf: QuotaOf;
  readonly trustDomain: string;
  readonly clock: () => number;
  readonly newSandboxId: () => string;
  /** A UUID. */
  readonly newId: () => string;
}

/**
 * SandboxService.CreateSandbox: records a sandbox and answers when it can be named everywhere and its first policy is stored,
 * so that nothing that its creator does next can be overtaken.
 */
export function createSandbox(deps: CreateSandboxDeps): Handler<typeof SandboxService.method.createSandbox> {
  return async (request, call) => {
    const user = requireUser(call);
    const { known, template } = await resolveTemplate(deps, request, user.organizationId);
    const answer = known ?? (await record(deps, { request, template, user, caller: callerOf(call) }));
    const response = fromBinary(CreateSandboxResponseSchema, answer);
    await deps.reconciler.whenAddressable(response.sandbox?.id ?? "", call.signal);
    return response;
  };
}

async function record(
  deps: CreateSandboxDeps,
  options: {
    readonly request: CreateSandboxRequest;
    readonly template: SandboxTemplate | undefined;
    readonly user: User;
    readonly caller: ReturnType<typeof callerOf>;
  },
): Promise<Uint8Array> {
  const { request, template, user, caller } = options;
  const asked = readCreateRequest(template === undefined ? request : applyTemplate(template, request), deps.driver);
  const { requestId, name, labels, spec, policy } = asked;
  const contentHash = template === undefined ? asked.contentHash : hashRequest(request);
  const { refusal } = await deps.driver.isolation();
  if (refusal !== undefined)
    throw new ServiceError("ISOLATION_NOT_AVAILABLE", "this machine cannot run sandboxes", {
      fault: refusal.fault,
      mend: refusal.mend,
    });
  const id = deps.newSandboxId();
  return deps.store.create({
    sandbox: {
      id,
      organizationId: user.organizationId,
      name: name === "" ? nameOfId(id) : name,
      ownerUserId: user.userId,
      labels,
      spec,
      policy,
      policyRequestId: deps.newId(),
      createTimeMs: deps.clock(),
    },
    request: { organizationId: user.organizationId, method: "CreateSandbox", requestId, contentHash },
    answerOf: (stored) =>
      toBinary(
        CreateSandboxResponseSchema,
        create(CreateSandboxResponseSchema, { sandbox: toSandboxMessage(stored, deps.trustDomain) }),
      ),
    quota: deps.quotaOf(user.organizationId),
    event: {
      ...caller,
      action: "sandbox.created",
      details: { request_id: requestId, ...(template !== undefined && { template: template.name }) },
    },
  });
}
