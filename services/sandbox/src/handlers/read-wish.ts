import { createHash } from "node:crypto";
import type { SandboxScope } from "@sandgate/identity";
import type { Call } from "@sandgate/rpc";
import { findRequestIdFault } from "../domain/request-id.ts";
import type { WishRequest } from "../store/sandbox-store.ts";
import { callerOf } from "./caller-of.ts";
import { requireNoFaults } from "./require-no-faults.ts";

/** What the store needs to know of a request to stop, start, change or delete a sandbox. Throws REQUEST_INVALID. */
export function readWish(
  call: Call,
  options: {
    readonly scope: SandboxScope;
    readonly requestId: string;
    /** The event of the audit log. */
    readonly action: string;
    /** What is asked for beside what the method says, in one form; default: nothing. */
    readonly content?: string;
  },
): Pick<WishRequest, "request" | "event"> {
  const fault = findRequestIdFault(options.requestId);
  requireNoFaults(fault === undefined ? [] : [fault]);
  const requestId = options.requestId.toLowerCase();
  return {
    request: {
      organizationId: options.scope.organizationId,
      method: call.method.name,
      requestId,
      contentHash: createHash("sha256")
        .update(`${options.scope.sandboxId}${options.content ?? ""}`)
        .digest(),
    },
    event: { ...callerOf(call), action: options.action, details: { request_id: requestId } },
  };
}
