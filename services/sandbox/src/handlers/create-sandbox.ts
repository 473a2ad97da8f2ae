import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { CreateSandboxResponseSchema, type SandboxService } from "@sandgate/api/sandbox";
import { type Handler, ServiceError } from "@sandgate/rpc";
import type { QuotaOf } from "../domain/quota.ts";
import { nameOfId } from "../domain/sandbox-id.ts";
import type { SandboxDriver } from "../drivers/sandbox-driver.ts";
import type { SandboxStore } from "../store/sandbox-store.ts";
import { callerOf } from "./caller-of.ts";
import { readCreateRequest } from "./read-create-request.ts";
import { requireUser } from "./require-user.ts";
import { toSandboxMessage } from "./sandbox-message.ts";

/**
 * SandboxService.CreateSandbox: records a sandbox and answers when it can be named everywhere and its first policy is stored,
 * so that nothing that its creator does next can be overtaken.
 */
export function createSandbox(deps: {
  readonly store: Pick<SandboxStore, "create">;
  readonly driver: Pick<SandboxDriver, "isolation">;
  readonly reconciler: { whenAddressable(sandboxId: string, signal: AbortSignal): Promise<void> };
  readonly quotaOf: QuotaOf;
  readonly trustDomain: string;
  readonly clock: () => number;
  readonly newSandboxId: () => string;
  /** A UUID. */
  readonly newId: () => string;
}): Handler<typeof SandboxService.method.createSandbox> {
  return async (request, call) => {
    const user = requireUser(call);
    const { requestId, name, labels, spec, policy, contentHash } = readCreateRequest(request);
    const { refusal } = await deps.driver.isolation();
    if (refusal !== undefined)
      throw new ServiceError("ISOLATION_NOT_AVAILABLE", "this machine cannot run sandboxes", {
        fault: refusal.fault,
        mend: refusal.mend,
      });
    const id = deps.newSandboxId();
    const answer = await deps.store.create({
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
      answerOf: (record) =>
        toBinary(
          CreateSandboxResponseSchema,
          create(CreateSandboxResponseSchema, { sandbox: toSandboxMessage(record, deps.trustDomain) }),
        ),
      quota: deps.quotaOf(user.organizationId),
      event: { ...callerOf(call), action: "sandbox.created", details: { request_id: requestId } },
    });
    const response = fromBinary(CreateSandboxResponseSchema, answer);
    await deps.reconciler.whenAddressable(response.sandbox?.id ?? id, call.signal);
    return response;
  };
}
