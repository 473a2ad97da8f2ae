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
  #sessionEnd = new AbortController();
  #egressRefusal = new AbortController();

  constructor(keys: KeyPair) {
    this.keys = keys;
    this.privateKey = keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  }

  get session(): SessionCredentials | undefined {
    return this.#session;
  }

  set session(credentials: SessionCredentials | undefined) {
    const last = this.#sessionEnd;
    this.#session = credentials;
    this.#sessionEnd = new AbortController();
    last.abort();
  }

  /** Aborts when the session that is held now was refused, or replaced. */
  get sessionEnd(): AbortSignal {
    return this.#sessionEnd.signal;
  }

  /** Says that a session was refused. Without effect when another is held by now. */
  refuseSession(session: SessionCredentials | undefined): void {
    if (session === this.#session) this.#sessionEnd.abort();
  }

  set egress(credential: EgressCredential) {
    this.#egress = credential;
    this.#egressRefusal = new AbortController();
    for (const wake of this.#egressWaiters.splice(0)) wake();
  }

  /** The egress token that is held, whatever it is worth now. */
  get egressToken(): string | undefined {
    return this.#egress?.token;
  }

  /**
   * The egress token, if it is good for now. One that has run out is refused: whoever keeps it reckons with a clock that was not put on
   * meanwhile, nor stood still with its machine.
   */
  findEgressToken(now: number): string | undefined {
    if (this.#egress === undefined) return undefined;
    if (this.#egress.expiresAt > now) return this.#egress.token;
    this.#egressRefusal.abort();
    return undefined;
  }

  /** Aborts when the proxy refuses the egress token that is held now. */
  get egressRefused(): AbortSignal {
    return this.#egressRefusal.signal;
  }

  /** Says that the proxy has refused a token. It stays in use until there is another: an origin can make an answer look like that. */
  refuseEgress(token: string): void {
    if (token === this.#egress?.token) this.#egressRefusal.abort();
  }

  /** Resolves at the next egress credential. */
  nextEgress(): Promise<void> {
    return new Promise((resolve) => this.#egressWaiters.push(resolve));
  }
}
