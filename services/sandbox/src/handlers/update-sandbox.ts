import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type SandboxService, type UpdateSandboxRequest, UpdateSandboxResponseSchema } from "@sandgate/api/sandbox";
import { sandboxScopeOf } from "@sandgate/identity";
import type { Handler } from "@sandgate/rpc";
import { applyUpdate, type SandboxUpdate } from "../domain/apply-update.ts";
import { findLabelFaults, sortLabels } from "../domain/labels.ts";
import { parseIdleAction, parseIdleTimeout, parseTtl } from "../domain/parse-spec.ts";
import type { FieldFault } from "../domain/request-faults.ts";
import type { SandboxStore } from "../store/sandbox-store.ts";
import { readWish } from "./read-wish.ts";
import { requireNoFaults } from "./require-no-faults.ts";
import { toSandboxMessage } from "./sandbox-message.ts";

const maximumRemovedLabels = 32;

/** SandboxService.UpdateSandbox: changes when a sandbox ends by itself, and its labels. */
export function updateSandbox(deps: {
  readonly store: Pick<SandboxStore, "update">;
  readonly trustDomain: string;
  readonly clock: () => number;
}): Handler<typeof SandboxService.method.updateSandbox> {
  return async (request, call) => {
    const scope = sandboxScopeOf(call);
    const update = readUpdate(request);
    const { requestId } = request;
    const nowMs = deps.clock();
    const content = JSON.stringify([{ ...update, setLabels: sortLabels(update.setLabels) }]);
    const answer = await deps.store.update(scope, {
      ...readWish(call, { scope, requestId, action: "sandbox.updated", content }),
      apply: (record) => {
        const { after, faults } = applyUpdate(record, update, nowMs);
        requireNoFaults(faults);
        return after;
      },
      answerOf: (record) =>
        toBinary(
          UpdateSandboxResponseSchema,
          create(UpdateSandboxResponseSchema, { sandbox: toSandboxMessage(record, deps.trustDomain) }),
        ),
      nowMs,
    });
    return fromBinary(UpdateSandboxResponseSchema, answer);
  };
}

function readUpdate(request: UpdateSandboxRequest): SandboxUpdate {
  const faults: FieldFault[] = [];
  const expireAfterMs = parseTtl(request.expireAfter, "expire_after", faults);
  const idleTimeoutMs = parseIdleTimeout(request.idleTimeout, "idle_timeout", faults);
  const idleAction = parseIdleAction(request.idleAction, "idle_action", faults);
  faults.push(...findLabelFaults(request.setLabels).map((fault) => ({ ...fault, field: "set_labels" })));
  const removeLabels = [...new Set(request.removeLabels)].sort();
  if (removeLabels.length > maximumRemovedLabels)
    faults.push({ field: "remove_labels", fault: `must be at most ${maximumRemovedLabels}` });
  if (removeLabels.some((key) => Object.hasOwn(request.setLabels, key)))
    faults.push({ field: "remove_labels", fault: "must not name what is set" });
  requireNoFaults(faults);
  return { expireAfterMs, idleTimeoutMs, idleAction, setLabels: { ...request.setLabels }, removeLabels };
}
