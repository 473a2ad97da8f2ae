import type { Role } from "@sandgate/api/options";
import { type CallKey, createCallKey } from "@sandgate/rpc";

/** On whose behalf a call is made. */
export type Principal =
  | {
      readonly kind: "user";
      readonly userId: string;
      readonly organizationId: string;
      readonly role: Role;
      /** The login session or API key that its token was had by: streams end with it. */
      readonly sessionId?: string;
      readonly spiffeId: string;
      readonly authenticator: string;
      /** The kid of the key that signed the token that it came with; undefined when it came with none. */
      readonly keyId?: string;
    }
  | {
      readonly kind: "sandbox";
      readonly sandboxId: string;
      readonly organizationId: string;
      readonly incarnation: bigint;
      /** What it proved its identity with. */
      readonly credential: "bootstrap" | "session";
      /** The token's id. */
      readonly tokenId: string;
      /** The kid of the key that signed the token. */
      readonly keyId: string;
      readonly spiffeId: string;
      readonly authenticator: string;
    }
  | { readonly kind: "anonymous"; readonly authenticator: string };

/** The call's principal; set for every call that reaches a handler, except calls of services for themselves. */
export const principalKey: CallKey<Principal> = createCallKey("principal");
