import { connect, isIPv6, type Socket } from "node:net";
import { type AddressRange, type Authority, formatAddress, parseAddress, vetAddress } from "@sandgate/policy";
import { ConnectionLost } from "../channel/socket-reader.ts";
import { Refusal } from "./refusal.ts";
import type { NameResolver } from "./resolver.ts";

/** A destination that development configuration places at an address of its own, which may be a loopback one. */
export interface DevelopmentOrigin {
  readonly host: string;
  readonly port: number;
  readonly address: string;
  readonly targetPort: number;
}

/** Opens a connection to an address. */
export type Dial = (address: string, port: number) => Socket;

/** A connection to a destination. */
export interface Dialled {
  readonly socket: Socket;
  /** The address that was dialled; the policy's next revision must still let it through. */
  readonly address: string;
  /** False for a development origin, whose address the policy does not judge. */
  readonly vetted: boolean;
}

/** Connects to destinations that policy allows: resolves once, vets every address, and dials only what was vetted. */
export class Dialer {
  readonly #resolver: NameResolver;
  readonly #dial: Dial;
  readonly #timeoutMs: number;
  readonly #origins: ReadonlyMap<string, DevelopmentOrigin>;
  readonly #isOwnEndpoint: (address: string, port: number) => boolean;

  constructor(options: {
    readonly resolver: NameResolver;
    readonly timeoutMs: number;
    readonly developmentOrigins: readonly DevelopmentOrigin[];
    /** Whether this machine's own control plane listens there. */
    readonly isOwnEndpoint: (address: string, port: number) => boolean;
    readonly dial?: Dial;
  }) {
    this.#resolver = options.resolver;
    this.#dial = options.dial ?? dialTcp;
    this.#timeoutMs = options.timeoutMs;
    this.#origins = new Map(options.developmentOrigins.map((origin) => [`${origin.host}:${origin.port}`, origin]));
    this.#isOwnEndpoint = options.isOwnEndpoint;
  }

  /**
   * Connects to a destination, trying its vetted addresses in turn. Throws a Refusal: 403 where no address passes, 502 or
   * 504 where none answers. The signal gives it up.
   */
  async connect(
    { host, port }: Authority,
    rule: { readonly name: string; readonly allowedRanges: readonly AddressRange[] },
    signal: AbortSignal,
  ): Promise<Dialled> {
    const origin = host.kind === "name" ? this.#origins.get(`${host.text}:${port}`) : undefined;
    if (origin !== undefined) {
      const socket = await this.#dialFirst([origin.address], origin.targetPort, signal);
      return { ...socket, vetted: false };
    }
    const found = host.kind === "address" ? [host.text] : await this.#resolver.resolve(host.text);
    const vetted = found.flatMap((text) => {
      const address = parseAddress(text);
      return address !== undefined && vetAddress(rule.allowedRanges, address) ? [formatAddress(address)] : [];
    });
    if (vetted.length === 0)
      throw Refusal.denied("ip_not_allowed", "the host has no address that a sandbox may reach", { rule: rule.name });
    const foreign = vetted.filter((address) => !this.#isOwnEndpoint(address, port));
    if (foreign.length === 0)
      throw Refusal.denied("loop_detected", "the host is this proxy's own control plane", { rule: rule.name });
    if (signal.aborted) throw new ConnectionLost("given up");
    return { ...(await this.#dialFirst(foreign, port, signal)), vetted: true };
  }

  async #dialFirst(
    addresses: readonly string[],
    port: number,
    signal: AbortSignal,
  ): Promise<{ readonly socket: Socket; readonly address: string }> {
    const deadline = Date.now() + this.#timeoutMs;
    let fault: unknown;
    for (const [index, address] of addresses.entries()) {
      const shareMs = Math.max(250, (deadline - Date.now()) / (addresses.length - index));
      if (Date.now() >= deadline) break;
      try {
        return { socket: await this.#dialOne(address, port, shareMs, signal), address };
      } catch (error) {
        if (signal.aborted) throw error;
        fault = error;
      }
    }
    throw fault instanceof DialTimeout || fault === undefined
      ? Refusal.fault(504, "upstream_timeout", "the destination did not answer in time", { cause: fault })
      : Refusal.fault(502, "upstream_failed", "the destination cannot be reached", { cause: fault });
  }

  #dialOne(address: string, port: number, timeoutMs: number, signal: AbortSignal): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = this.#dial(address, port);
      const timer = setTimeout(() => settle(new DialTimeout("no answer in time")), timeoutMs);
      const onAbort = () => settle(new ConnectionLost("given up"));
      const onError = (error: Error) => settle(error);
      const onConnect = () => settle(undefined);
      const settle = (error: Error | undefined) => {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
        socket.off("connect", onConnect);
        if (error === undefined) {
          resolve(socket);
          return;
        }
        socket.destroy();
        reject(error);
      };
      socket.on("error", onError); // stays: a later error also ends in `close`, which whoever uses the socket awaits
      socket.once("connect", onConnect);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }
}

class DialTimeout extends Error {
  override readonly name = "DialTimeout";
}

function dialTcp(address: string, port: number): Socket {
  return connect({
    host: address,
    port,
    family: isIPv6(address) ? 6 : 4,
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
  });
}
