import { PrincipalKind } from "@sandgate/api/options";
import { type Call, readAccess, ServiceError } from "@sandgate/rpc";
import type { Peer } from "../peer.ts";

/** Whether this process may call this method at all, before anybody's credential is read. */
export function requireAllowedPeer(call: Call, peer: Peer): void {
  const access = readAccess(call.method);
  let allowed: boolean;
  switch (peer.kind) {
    case "service":
      allowed = access.peers.some((rule) => rule.service === peer.service);
      break;
    case "sandbox":
      allowed = access.principals.includes(PrincipalKind.SANDBOX);
      break;
    case "none":
      allowed = access.principals.length > 0;
      break;
  }
  if (!allowed) throw new ServiceError("PEER_NOT_ALLOWED", "this peer may not call this method");
}
