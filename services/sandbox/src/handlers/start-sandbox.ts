import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type SandboxService, StartSandboxResponseSchema } from "@sandgate/api/sandbox";
import { sandboxScopeOf } from "@sandgate/identity";
import type { Handler } from "@sandgate/rpc";
import type { QuotaOf } from "../domain/quota.ts";
import type { SandboxStore } from "../store/sandbox-store.ts";
import { readWish } from "./read-wish.ts";
import { toSandboxMessage } from "./sandbox-message.ts";

/** SandboxService.StartSandbox: records that a sandbox is to run, as its next incarnation. Starting one that runs changes nothing. */
export function startSandbox(deps: {
  readonly store: Pick<SandboxStore, "requestStart">;
  readonly reconciler: { poke(sandboxId: string): void };
  readonly quotaOf: QuotaOf;
  readonly trustDomain: string;
  readonly clock: () => number;
}): Handler<typeof SandboxService.method.startSandbox> {
  return async ({ requestId }, call) => {
    const scope = sandboxScopeOf(call);
    const answer = await deps.store.requestStart(scope, {
      ...readWish(call, { scope, requestId, action: "sandbox.start_requested" }),
      answerOf: (record) =>
        toBinary(
          StartSandboxResponseSchema,
          create(StartSandboxResponseSchema, { sandbox: toSandboxMessage(record, deps.trustDomain) }),
        ),
      quota: deps.quotaOf(scope.organizationId),
      nowMs: deps.clock(),
    });
    deps.reconciler.poke(scope.sandboxId);
    return fromBinary(StartSandboxResponseSchema, answer);
  };
}
