import type { ClientAddress } from "../domain/client-address.ts";

/** A port that only leases open. */
export interface GuardedPort {
  readonly protocol: "tcp" | "udp";
  readonly port: number;
}

/** What is guarded. */
export interface Guard {
  readonly ports: readonly GuardedPort[];
  /** The network device that is guarded alone; undefined: every one but loopback. */
  readonly device: string | undefined;
}

/** Who is let in, and for how long from now. */
export interface Admission {
  readonly address: ClientAddress;
  readonly leftMs: number;
}

/** An address, and for how long from now it is to be in; undefined: not at all. */
export interface Change {
  readonly address: ClientAddress;
  readonly leftMs: number | undefined;
}
