import { peerKey, principalKey } from "@sandgate/identity";
import type { Call } from "@sandgate/rpc";
import type { Actor } from "../store/auth-store.ts";

/** Who makes a call, for the audit log. A service that calls for itself is its own principal. */
export function actorOfCall(call: Call): Actor {
  const peer = call.get(peerKey);
  const principal = call.find(principalKey);
  const peerName = peer.kind === "none" ? "none" : peer.spiffeId;
  if (principal === undefined) return { principal: peerName, peer: peerName };
  return { principal: principal.kind === "anonymous" ? "anonymous" : principal.spiffeId, peer: peerName };
}
