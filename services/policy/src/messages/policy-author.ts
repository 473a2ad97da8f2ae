import { peerKey, principalKey } from "@sandgate/identity";
import { type Call, ServiceError } from "@sandgate/rpc";
import type { PolicyAuthor } from "../store/policy-store.ts";

/** Who makes a call, for the revision and the audit log. Throws CREDENTIAL_MISSING where nobody does. */
export function policyAuthorOf(call: Call): PolicyAuthor {
  const principal = call.get(principalKey);
  const peer = call.get(peerKey);
  if (principal.kind === "anonymous") throw new ServiceError("CREDENTIAL_MISSING", "this call needs a credential");
  return { principal: principal.spiffeId, peer: peer.kind === "none" ? "none" : peer.spiffeId };
}
