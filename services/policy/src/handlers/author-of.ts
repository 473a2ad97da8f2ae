import { peerKey, principalKey } from "@sandgate/identity";
import { type Call, ServiceError } from "@sandgate/rpc";
import type { PolicyAuthor } from "../store/policy-store.ts";

/** Who makes a call, for revisions and the audit log. A service that calls for itself is its own principal. */
export function authorOf(call: Call): PolicyAuthor {
  const peer = call.get(peerKey);
  const principal = call.find(principalKey);
  const peerName = peer.kind === "none" ? "none" : peer.spiffeId;
  if (principal === undefined) return { principal: peerName, peer: peerName };
  if (principal.kind === "anonymous") throw new ServiceError("CREDENTIAL_MISSING", "this call needs a credential");
  return { principal: principal.spiffeId, peer: peerName };
}
