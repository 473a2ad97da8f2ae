import { peerKey, principalKey } from "@sandgate/identity";
import type { Call } from "@sandgate/rpc";

/** Who made a call, for the audit log. */
export function callerOf(call: Call): { readonly principal: string; readonly peer: string } {
  const principal = call.get(principalKey);
  const peer = call.get(peerKey);
  return {
    principal: principal.kind === "anonymous" ? "anonymous" : principal.spiffeId,
    peer: peer.kind === "none" ? "none" : peer.spiffeId,
  };
}
