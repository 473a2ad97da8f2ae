import type { SandboxService } from "@sandgate/api/sandbox";
import { sandboxScopeOf } from "@sandgate/identity";
import type { Handler } from "@sandgate/rpc";
import type { SandboxStore } from "../store/sandbox-store.ts";
import { requireSandbox } from "./require-sandbox.ts";
import { toSandboxMessage } from "./sandbox-message.ts";

/** SandboxService.GetSandbox: one sandbox, also a DELETED one for as long as it is kept. */
export function getSandbox(deps: {
  readonly store: Pick<SandboxStore, "find">;
  readonly trustDomain: string;
}): Handler<typeof SandboxService.method.getSandbox> {
  return async (_request, call) => {
    const record = await requireSandbox(deps.store, sandboxScopeOf(call));
    return { sandbox: toSandboxMessage(record, deps.trustDomain) };
  };
}
