import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { DeleteSandboxResponseSchema, type SandboxService } from "@sandgate/api/sandbox";
import { sandboxScopeOf } from "@sandgate/identity";
import type { Handler } from "@sandgate/rpc";
import type { SandboxStore } from "../store/sandbox-store.ts";
import { readWish } from "./read-wish.ts";
import { toSandboxMessage } from "./sandbox-message.ts";

/** SandboxService.DeleteSandbox: records that a sandbox is to go. Deleting it again changes nothing. */
export function deleteSandbox(deps: {
  readonly store: Pick<SandboxStore, "requestDeletion">;
  readonly reconciler: { poke(sandboxId: string): void };
  readonly trustDomain: string;
  readonly clock: () => number;
}): Handler<typeof SandboxService.method.deleteSandbox> {
  return async ({ requestId }, call) => {
    const scope = sandboxScopeOf(call);
    const answer = await deps.store.requestDeletion(scope, {
      ...readWish(call, { scope, requestId, action: "sandbox.deletion_requested" }),
      answerOf: (record) =>
        toBinary(
          DeleteSandboxResponseSchema,
          create(DeleteSandboxResponseSchema, { sandbox: toSandboxMessage(record, deps.trustDomain) }),
        ),
      nowMs: deps.clock(),
    });
    deps.reconciler.poke(scope.sandboxId);
    return fromBinary(DeleteSandboxResponseSchema, answer);
  };
}
