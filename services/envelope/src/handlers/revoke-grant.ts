import type { AccessService } from "@sandgate/api/access";
import { type Handler, ServiceError } from "@sandgate/rpc";
import type { Grants } from "../grants.ts";
import { refusalError } from "./refusal-error.ts";

/** AccessService.RevokeGrant: ends a grant, and what its token is worth, before it answers. */
export function revokeGrant(deps: {
  readonly grants: Pick<Grants, "revoke">;
}): Handler<typeof AccessService.method.revokeGrant> {
  return async ({ grantId }) => {
    const outcome = await deps.grants.revoke(grantId);
    if (outcome === "not_found")
      throw new ServiceError("GRANT_NOT_FOUND", "there is no such grant", { grant_id: grantId.slice(0, 64) });
    if (outcome !== "revoked") throw refusalError(outcome);
    return {};
  };
}
