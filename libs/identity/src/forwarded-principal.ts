import { type CallOptions, ServiceError } from "@sandgate/rpc";
import type { Principal } from "./principal.ts";

/** The header in which one service tells another on whose behalf it calls. */
export const callerHeader = "sandgate-caller";

/** Call options that carry the principal of the call at hand to another service. Only users are called for. */
export function forwardPrincipal(principal: Principal): CallOptions {
  if (principal.kind !== "user") throw new TypeError("only users are called for");
  return forwardUser(principal.userId);
}

/** Call options that carry a user by id, for work that outlives the call that asked for it. */
export function forwardUser(userId: string): CallOptions {
  return { headers: { [callerHeader]: `user/${userId}` } };
}

/** The user id that a forwarded principal names. */
export function parseForwarded(header: string): string {
  const userId = /^user\/([A-Za-z0-9][A-Za-z0-9._-]{0,127})$/.exec(header)?.[1];
  if (userId === undefined) throw new ServiceError("CREDENTIAL_REJECTED", "the forwarded principal cannot be read");
  return userId;
}
