import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type SandboxService, StopSandboxResponseSchema } from "@sandgate/api/sandbox";
import { sandboxScopeOf } from "@sandgate/identity";
import type { Handler } from "@sandgate/rpc";
import type { SandboxStore } from "../store/sandbox-store.ts";
import { readWish } from "./read-wish.ts";
import { toSandboxMessage } from "./sandbox-message.ts";

/** SandboxService.StopSandbox: records that a sandbox's incarnation is to end and its workspace to stay. Stopping it again changes nothing. */
export function stopSandbox(deps: {
  readonly store: Pick<SandboxStore, "requestStop">;
  readonly reconciler: { poke(sandboxId: string): void };
  readonly trustDomain: string;
  readonly clock: () => number;
}): Handler<typeof SandboxService.method.stopSandbox> {
  return async ({ requestId }, call) => {
    const scope = sandboxScopeOf(call);
    const answer = await deps.store.requestStop(scope, {
      ...readWish(call, { scope, requestId, action: "sandbox.stop_requested" }),
      answerOf: (record) =>
        toBinary(
          StopSandboxResponseSchema,
          create(StopSandboxResponseSchema, { sandbox: toSandboxMessage(record, deps.trustDomain) }),
        ),
      nowMs: deps.clock(),
    });
    deps.reconciler.poke(scope.sandboxId);
    return fromBinary(StopSandboxResponseSchema, answer);
  };
}
