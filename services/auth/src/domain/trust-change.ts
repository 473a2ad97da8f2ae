/** A change of what is trusted, as it is written to the change log. */
export type TrustChange =
  | {
      readonly kind: "revocation";
      /** The number of a kind in sandgate.auth.v1.RevocationKind. */
      readonly revocationKind: number;
      readonly subject: string;
      readonly expiresAtMs: number;
      readonly issuedBeforeMs?: number;
    }
  /** A subject's new state, or the published keys, which are read when the change is told. */
  | { readonly kind: "sandbox" | "user" | "signing_keys"; readonly subject: string; readonly expiresAtMs: number };

/** A change with its place in the log. */
export type TrustEvent = TrustChange & { readonly sequence: bigint };
