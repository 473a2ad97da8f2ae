import { PrincipalKind } from "@sandgate/api/options";
import { type Call, readAccess, ServiceError } from "@sandgate/rpc";
import type { Peer } from "../peer.ts";

/** Whether this process may call this method at all, before anybody's credential is read. */
export function requireAllowedPeer(call: Call, peer: Peer): void {
  const access = readAccess(call.method);
  const allowed = {
    service: () => peer.kind === "service" && access.peers.some((rule) => rule.service === peer.service),
    sandbox: () => access.principals.includes(PrincipalKind.SANDBOX),
    none: () => access.principals.length > 0,
  }[peer.kind]();
  if (!allowed) throw new ServiceError("PEER_NOT_ALLOWED", "this peer may not call this method");
}
