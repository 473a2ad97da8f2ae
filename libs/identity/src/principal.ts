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
  | ({
      readonly kind: "sandbox";
      readonly sandboxId: string;
      readonly organizationId: string;
      readonly incarnation: bigint;
      readonly spiffeId: string;
      readonly authenticator: string;
    } & SandboxProof)
  | { readonly kind: "anonymous"; readonly authenticator: string };

/** What a sandbox proved its identity with. */
export type SandboxProof =
  | TokenProof<"bootstrap">
  | TokenProof<"session">
  /** The token of a pod's service account: a kind of bootstrap credential that the cluster vouches for. */
  | { readonly credential: "service-account"; readonly podUid: string };

interface TokenProof<C> {
  readonly credential: C;
  /** The token's id. */
  readonly tokenId: string;
  /** The kid of the key of ours that signed the token. */
  readonly keyId: string;
}

/** The call's principal; set for every call that reaches a handler, except calls of services for themselves. */
export const principalKey: CallKey<Principal> = createCallKey("principal");
