import type { Listener, Role } from "@sandgate/api/options";
import type { Channel } from "@sandgate/rpc";

/** Who somebody is, as far as the rules of access care. */
export type Identity =
  | { readonly kind: "nobody" }
  /** Somebody whose token, or certificate, is bad: whoever looks at it refuses with this reason, IssueSandboxToken perhaps with its own. */
  | {
      readonly kind: "impostor";
      readonly reason: string;
      readonly onEnrolment?: string;
      readonly badCertificate?: boolean;
    }
  /** Somebody whom TLS does not let in. */
  | { readonly kind: "outsider" }
  | {
      readonly kind: "user";
      readonly role: Role;
      readonly organization: "own" | "other";
      /** By a session token, not by a certificate. */
      readonly bySession?: boolean;
    }
  /** A service, and the user that it says it calls for. */
  | { readonly kind: "service"; readonly service: string; readonly caller?: Extract<Identity, { kind: "user" }> }
  | {
      readonly kind: "sandbox";
      readonly which: "own" | "other";
      readonly credential: "session" | "bootstrap" | "service-account";
    };

/** How a gRPC client of any make opens a connection. */
export interface Way {
  /** host:port, or unix:/path */
  readonly address: string;
  /** The name that the server's certificate must carry. */
  readonly serverName: string;
  /** PEM, as the certificate and its key. */
  readonly serviceCa: string;
  readonly certificate?: string;
  readonly key?: string;
}

/** Somebody at one listener with certain credentials. */
export interface Attacker {
  readonly name: string;
  readonly listener: Listener;
  readonly identity: Identity;
  /** Whether its connection was opened with a sandbox's certificate. */
  readonly onSandboxConnection: boolean;
  readonly headers: Readonly<Record<string, string>>;
  /** Methods that the rule of this attacker does not hold for. */
  readonly exempt: readonly string[];
  /** The way to the program that has this service; an outsider's is a new one each time, to be closed by the caller. */
  channelTo(serviceTypeName: string): Channel;
  /** The same way, for clients that are not ours. Who comes by the web front has none. */
  wayTo?(serviceTypeName: string): Way;
}
