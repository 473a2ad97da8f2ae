import type { AuthService } from "@sandgate/api/auth";
import type { Handler } from "@sandgate/rpc";
import type { SigningKeyRing } from "../keys/signing-keys.ts";
import { keyActorOfCall } from "./key-actor-of-call.ts";

/** AuthService.ResealSigningKeys: what is in the database is sealed with the newest key of the key directory. */
export function resealSigningKeys(deps: {
  readonly keys: Pick<SigningKeyRing, "reseal">;
}): Handler<typeof AuthService.method.resealSigningKeys> {
  return async (_, call) => ({ resealed: await deps.keys.reseal(keyActorOfCall(call)) });
}
