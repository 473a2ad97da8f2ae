import { type Call, ServiceError } from "@sandgate/rpc";
import { peerKey } from "../peer.ts";
import type { Principal } from "../principal.ts";

/** The invariant of identity: a connection opened with a sandbox's certificate carries that sandbox and nobody else, ever. */
export function requireOwnSandbox(call: Call, principal: Principal): void {
  const peer = call.get(peerKey);
  if (peer.kind !== "sandbox") return;
  if (principal.kind === "anonymous")
    throw new ServiceError("CREDENTIAL_MISSING", "a sandbox's connection needs the sandbox's token");
  if (
    principal.kind !== "sandbox" ||
    principal.sandboxId !== peer.sandboxId ||
    principal.incarnation !== peer.incarnation ||
    principal.credential !== "session"
  )
    throw new ServiceError("CREDENTIAL_REJECTED", "a sandbox's connection carries that sandbox alone");
}
