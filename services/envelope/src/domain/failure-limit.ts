import type { ClientAddress } from "./client-address.ts";

/** Peers that are remembered. A new one then takes the place of the one that has been quiet longest. */
const MAX_PEERS = 10_000;

/**
 * Bounds how often one peer may come with a token that is none: each peer has as many failures at once as it may have in a minute, and they grow
 * back evenly. A peer is an IPv4 address or a /64 of IPv6, whose owner has all of it.
 */
export class FailureLimit {
  readonly #perMinute: number;
  readonly #monotonic: () => number;
  readonly #peers = new Map<string, { readonly failures: number; readonly atMs: number }>();

  constructor(perMinute: number, monotonic: () => number) {
    this.#perMinute = perMinute;
    this.#monotonic = monotonic;
  }

  /** How long the peer must wait before it is heard again; 0: not at all. */
  waitMs(address: ClientAddress): number {
    const failures = this.#failuresOf(peerOf(address));
    return failures <= this.#perMinute - 1 ? 0 : ((failures - this.#perMinute + 1) * 60_000) / this.#perMinute;
  }

  noteFailure(address: ClientAddress): void {
    const peer = peerOf(address);
    const failures = this.#failuresOf(peer) + 1;
    this.#peers.delete(peer); // so that it is the last one
    const [quietest] = this.#peers.keys();
    if (quietest !== undefined && this.#peers.size >= MAX_PEERS) this.#peers.delete(quietest);
    this.#peers.set(peer, { failures, atMs: this.#monotonic() });
  }

  #failuresOf(peer: string): number {
    const known = this.#peers.get(peer);
    if (known === undefined) return 0;
    return Math.max(0, known.failures - ((this.#monotonic() - known.atMs) * this.#perMinute) / 60_000);
  }
}

function peerOf({ family, text }: ClientAddress): string {
  if (family === 4) return text;
  const [head = "", tail] = text.split("::");
  const groups = head === "" ? [] : head.split(":");
  const missing = tail === undefined ? 0 : 8 - groups.length - (tail === "" ? 0 : tail.split(":").length);
  return [...groups, ...Array.from({ length: missing }, () => "0"), ...(tail ?? "").split(":")].slice(0, 4).join(":");
}
