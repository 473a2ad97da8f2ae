import type { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import type { ContainerToken } from "./container-token.ts";

/** The public keys that tokens verify with. */
export type TokenKeys =
  /** Read from there every 5 minutes; over https, or plain http from this machine. `ca`: PEM of the only authorities that vouch for the server. */
  | { readonly url: string | URL; readonly ca?: string }
  /** A JWK set (RFC 7517), parsed. These keys and no other, for as long as the check is used. */
  | { readonly jwks: object };

/** How a request proves that it comes from the token's container, where the token demands that (S0-13). */
export type ContainerBinding<Connection> =
  /** By the client certificate that the token itself names in `cnf`. A token that names none is refused. */
  | { readonly by: "certificate" }
  /** By the connection: the host says which container it leads to. Undefined, or another than the token's, is refused. */
  | {
      readonly by: "channel";
      readonly containerOf: (connection: Connection) => string | undefined | Promise<string | undefined>;
    }
  /**
   * By the header X-Container-ID, for services that cannot be changed yet. It proves nothing: whoever stole the token reads the
   * container's id in it and sends it along.
   */
  | { readonly by: "compatible-header" };

/** What a check of container tokens is made of. */
export interface TokenCheckOptions<Connection = Socket> {
  /** The one `iss`: `https://auth.<trust domain>`. */
  readonly issuer: string;
  /** The one `aud`: the name of this service, and of no other. */
  readonly audience: string;
  readonly keys: TokenKeys;
  /** Default: by certificate. */
  readonly binding?: ContainerBinding<Connection>;
  /** The client certificate of a connection, whose key the TLS handshake proved. Default: that of a TLS socket of Node. */
  readonly certificateOf?: (connection: Connection) => X509Certificate | undefined;
  /**
   * Asked at every request, for at most 2 seconds: whether the token was revoked. Without it a token counts until it expires. One
   * that throws or is late has every request refused.
   */
  readonly isRevoked?: (token: ContainerToken, signal: AbortSignal) => boolean | Promise<boolean>;
  /** Named in challenges. Default: the audience. Printable ASCII without quotes and backslashes. */
  readonly realm?: string;
  /** Told why a request could not be decided, and when keys begin to be unreadable. */
  readonly onFault?: (fault: unknown) => void;
  /** Milliseconds since the epoch. Default: the machine's clock. */
  readonly clock?: () => number;
}
