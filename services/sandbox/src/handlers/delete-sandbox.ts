import { createHash } from "node:crypto";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { DeleteSandboxResponseSchema, type SandboxService } from "@sandgate/api/sandbox";
import { sandboxScopeOf } from "@sandgate/identity";
import type { Handler } from "@sandgate/rpc";
import { findRequestIdFault } from "../domain/request-id.ts";
import type { SandboxStore } from "../store/sandbox-store.ts";
import { callerOf } from "./caller-of.ts";
import { requireNoFaults } from "./require-no-faults.ts";
import { toSandboxMessage } from "./sandbox-message.ts";

/** SandboxService.DeleteSandbox: records that a sandbox is to go. Deleting it again changes nothing. */
export function deleteSandbox(deps: {
  readonly store: Pick<SandboxStore, "requestDeletion">;
  readonly reconciler: { poke(sandboxId: string): void };
  readonly trustDomain: string;
  readonly clock: () => number;
}): Handler<typeof SandboxService.method.deleteSandbox> {
  return async (request, call) => {
    const scope = sandboxScopeOf(call);
    const fault = findRequestIdFault(request.requestId);
    requireNoFaults(fault === undefined ? [] : [fault]);
    const requestId = request.requestId.toLowerCase();
    const answer = await deps.store.requestDeletion(scope, {
      request: {
        organizationId: scope.organizationId,
        method: "DeleteSandbox",
        requestId,
        contentHash: createHash("sha256").update(scope.sandboxId).digest(),
      },
      answerOf: (record) =>
        toBinary(
          DeleteSandboxResponseSchema,
          create(DeleteSandboxResponseSchema, { sandbox: toSandboxMessage(record, deps.trustDomain) }),
        ),
      event: { ...callerOf(call), action: "sandbox.deletion_requested", details: { request_id: requestId } },
      nowMs: deps.clock(),
    });
    deps.reconciler.poke(scope.sandboxId);
    return fromBinary(DeleteSandboxResponseSchema, answer);
  };
}
