import { principalKey } from "@sandgate/identity";
import type { Call } from "@sandgate/rpc";
import type { KeyActor } from "../store/signing-key-store.ts";
import { actorOfCall } from "./actor-of-call.ts";

/** Who changes the signing keys. Their audit records are in the log of the caller's organization. */
export function keyActorOfCall(call: Call): KeyActor {
  const principal = call.find(principalKey);
  return { ...actorOfCall(call), organizationId: principal?.kind === "user" ? principal.organizationId : "" };
}
