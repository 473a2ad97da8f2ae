import { type CallKey, createCallKey } from "@sandgate/rpc";

/** Which process opened the connection, by its verified certificate. */
export type Peer =
  | { readonly kind: "service"; readonly service: string; readonly spiffeId: string }
  | {
      readonly kind: "sandbox";
      readonly sandboxId: string;
      readonly incarnation: bigint;
      readonly spiffeId: string;
      /** RFC 7638 thumbprint of the certificate's key, base64url. */
      readonly keyThumbprint: string;
    }
  /** No certificate, or a user's: that is a credential of the principal, not of a peer. */
  | { readonly kind: "none" };

/** The call's peer; set for every call. */
export const peerKey: CallKey<Peer> = createCallKey("peer");

/** Set by the peer step when the connection's certificate is a user's: a credential, and no peer. */
export const operatorCertificateKey: CallKey<{ readonly userId: string; readonly sha256: string }> =
  createCallKey("operator certificate");
