import type { AuthService } from "@sandgate/api/auth";
import type { Handler } from "@sandgate/rpc";
import type { SigningKeyRing } from "../keys/signing-keys.ts";
import { toSigningKeyMessages } from "./signing-key-message.ts";

/** AuthService.ListSigningKeys: what tokens are and were signed with. */
export function listSigningKeys(deps: {
  readonly keys: Pick<SigningKeyRing, "load" | "records">;
  readonly clock: () => number;
}): Handler<typeof AuthService.method.listSigningKeys> {
  return async () => {
    await deps.keys.load();
    return { keys: toSigningKeyMessages(deps.keys.records, deps.clock()) };
  };
}
