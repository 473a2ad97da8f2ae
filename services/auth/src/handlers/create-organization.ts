import { randomUUID } from "node:crypto";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { AuthService } from "@sandgate/api/auth";
import { Role } from "@sandgate/api/options";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { newInvitation } from "../credentials/new-invitation.ts";
import type { UserDirectory } from "../store/user-directory.ts";
import { actorOfCall } from "./actor-of-call.ts";
import { requireLoginName } from "./require-login-name.ts";
import { requireName } from "./require-name.ts";
import { requireUserPrincipal } from "./require-user-principal.ts";

/** How somebody comes who runs the suite: with a certificate, or on its own machine. */
const operatorAuthenticators: readonly string[] = ["operator-certificate", "local-operator"];

/** AuthService.CreateOrganization: an organization, and the invitation of its first administrator. */
export function createOrganization(deps: {
  readonly directory: Pick<UserDirectory, "createOrganization">;
  readonly lifeMs: number;
  readonly clock: () => number;
}): Handler<typeof AuthService.method.createOrganization> {
  return async (request, call) => {
    const principal = requireUserPrincipal(call);
    const refusal = () => new ServiceError("PRINCIPAL_NOT_ALLOWED", "this call is for who runs the suite");
    if (!operatorAuthenticators.includes(principal.authenticator)) throw refusal();
    const name = requireName(request.name, { field: "name", mayBeEmpty: false });
    const login = requireLoginName(request.adminLogin, "admin_login");
    const organizationId = randomUUID();
    const { token, invitation } = newInvitation(
      { organizationId, login, role: Role.ADMIN, inviterUserId: principal.userId },
      { now: deps.clock(), lifeMs: deps.lifeMs },
    );
    const decision = await deps.directory.createOrganization({ name, invitation }, actorOfCall(call));
    if (decision === "not_configured") throw refusal();
    return {
      organizationId,
      invitationId: invitation.id,
      token,
      expireTime: timestampFromMs(invitation.expiresAtMs),
    };
  };
}
