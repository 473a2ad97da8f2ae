import type { AuthService } from "@sandgate/api/auth";
import type { SandboxSockets } from "@sandgate/identity";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { findRegistrationFault, type Registration, type RegistrationDecision } from "../domain/registration.ts";
import { toSandboxSubject } from "../store/auth-rows.ts";
import type { AuthStore } from "../store/auth-store.ts";
import type { TrustFeed } from "../trust/trust-feed.ts";
import { actorOfCall } from "./actor-of-call.ts";

/** AuthService.RegisterSandbox: enters a sandbox or its next incarnation into the register, and opens its sockets. */
export function registerSandbox(deps: {
  readonly store: Pick<AuthStore, "registerSandbox">;
  readonly feed: Pick<TrustFeed, "reached">;
  readonly sockets: SandboxSockets;
  readonly clock: () => number;
}): Handler<typeof AuthService.method.registerSandbox> {
  return async (request, call) => {
    const { sandboxId, name, organizationId, ownerUserId, incarnation } = request;
    const registration: Registration = { sandboxId, name, organizationId, ownerUserId, incarnation };
    const field = findRegistrationFault(registration);
    if (field !== undefined)
      throw new ServiceError("REQUEST_INVALID", "the registration has a field that is not valid", { field });
    const { decision, record, sequence } = await deps.store.registerSandbox(
      registration,
      deps.clock(),
      actorOfCall(call),
    );
    if (record === undefined || refusals[decision] !== undefined)
      throw refusals[decision]?.(sandboxId) ?? new ServiceError("INTERNAL", "the registration came to nothing");
    await deps.feed.reached(sequence);
    await deps.sockets.open(sandboxId);
    return { subject: toSandboxSubject(record) };
  };
}

const refusals: Readonly<
  Partial<Record<RegistrationDecision | "inserted" | "name_taken", (sandboxId: string) => ServiceError>>
> = {
  retired: (sandboxId) =>
    new ServiceError("SANDBOX_NOT_FOUND", "the sandbox is retired for good", { sandbox_id: sandboxId }),
  other_content: (sandboxId) =>
    new ServiceError("SANDBOX_CHANGED", "the sandbox is registered with other content", { sandbox_id: sandboxId }),
  lower_incarnation: (sandboxId) =>
    new ServiceError("SANDBOX_CHANGED", "a later incarnation of the sandbox is registered", { sandbox_id: sandboxId }),
  name_taken: (sandboxId) =>
    new ServiceError("SANDBOX_NAME_TAKEN", "a living sandbox has this name", { sandbox_id: sandboxId }),
};
