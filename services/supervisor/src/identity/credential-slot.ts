import type { KeyPair } from "@sandgate/pki";

/** A sandbox's certificate and session token, as they were issued together. */
export interface SessionCredentials {
  /** PEM: the leaf, then what a verifier needs beside the root. */
  readonly certificate: string;
  readonly token: string;
  readonly issuedAt: number;
  /** The earlier of the two expiries. */
  readonly expiresAt: number;
}

/** A token for the egress proxy. */
export interface EgressCredential {
  readonly token: string;
  readonly issuedAt: number;
  readonly expiresAt: number;
}

/**
 * The one place that holds this process's credentials. Everything that needs one reads it here at each use,
 * so that a rotation reaches all of them at once (G-11).
 */
export class CredentialSlot {
  readonly keys: KeyPair;
  /** PEM of the private key: TLS takes no other form. In this process's memory alone. */
  readonly privateKey: string;
  #session: SessionCredentials | undefined;
  #egress: EgressCredential | undefined;
  #egressWaiters: (() => void)[] = [];

  constructor(keys: KeyPair) {
    this.keys = keys;
    this.privateKey = keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  }

  get session(): SessionCredentials | undefined {
    return this.#session;
  }

  set session(credentials: SessionCredentials | undefined) {
    this.#session = credentials;
  }

  set egress(credential: EgressCredential) {
    this.#egress = credential;
    for (const wake of this.#egressWaiters.splice(0)) wake();
  }

  /** The egress token that is held, whatever it is worth now. */
  get egressToken(): string | undefined {
    return this.#egress?.token;
  }

  /** The egress token, if it is good for now. */
  findEgressToken(now: number): string | undefined {
    return this.#egress !== undefined && this.#egress.expiresAt > now ? this.#egress.token : undefined;
  }

  /** Resolves at the next egress credential. */
  nextEgress(): Promise<void> {
    return new Promise((resolve) => this.#egressWaiters.push(resolve));
  }
}
