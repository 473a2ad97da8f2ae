import { join } from "node:path";
import { Channel, type ChannelDeps } from "./channel.ts";

/** Longest path of a Unix socket. */
const longestSocketPath = 107;
const retryMs = 100;
const sweepMs = 1000;

/**
 * The channels of all sandboxes that have a policy. A channel whose directory is not there yet opens when it comes; one
 * whose socket was removed, with its directory or without, opens anew. While it is not known who is trusted, or what is allowed,
 * nothing that is open stays so: a revocation could not reach it.
 */
export class ChannelSet {
  readonly #deps: ChannelDeps & { readonly onOutage: () => void };
  readonly #directory: string;
  readonly #around: (channel: Channel) => Channel;
  readonly #channels = new Map<string, Entry>();
  #sweeper: NodeJS.Timeout | undefined;

  constructor(
    /** `onOutage` is told every second while what decides is not known. */
    deps: ChannelDeps & { readonly onOutage: () => void },
    options: { readonly directory: string; readonly around?: ((channel: Channel) => Channel) | undefined },
  ) {
    this.#deps = deps;
    this.#directory = options.directory;
    this.#around = options.around ?? ((channel) => channel);
  }

  /** Watches over the channels until `stop`. */
  start(): void {
    this.#sweeper = setInterval(() => void this.#sweep(), sweepMs);
  }

  /** Has the sandbox's channel opened if it is not. `onOpen` is called each time that it opens. */
  ensure(sandboxId: string, callbacks: Pick<Entry, "onOpen" | "onFault">): void {
    const known = this.#channels.get(sandboxId);
    if (known !== undefined) {
      if (known.state === "open") callbacks.onOpen();
      return;
    }
    const path = join(this.#directory, sandboxId, "egress.sock");
    const channel = this.#around(new Channel(this.#deps, { sandboxId, path }));
    const entry: Entry = {
      channel,
      state: "closed",
      faulted: false,
      retry: undefined,
      opening: undefined,
      ...callbacks,
    };
    this.#channels.set(sandboxId, entry);
    if (!/^sbx-[a-z2-7]{20}$/.test(sandboxId) || Buffer.byteLength(path) > longestSocketPath) {
      callbacks.onFault("the path of the egress socket is not a valid one");
      return;
    }
    this.#open(entry);
  }

  /** Cuts what the sandbox's policy does not allow any more. */
  recheck(sandboxId: string): void {
    this.#channels.get(sandboxId)?.channel.recheck();
  }

  /** Closes the sandbox's channel for good. */
  async remove(sandboxId: string): Promise<void> {
    const entry = this.#channels.get(sandboxId);
    if (entry === undefined) return;
    this.#channels.delete(sandboxId);
    clearTimeout(entry.retry);
    entry.state = "removed";
    await entry.opening;
    await entry.channel.close();
  }

  async stop(): Promise<void> {
    clearInterval(this.#sweeper);
    await Promise.all([...this.#channels.keys()].map((sandboxId) => this.remove(sandboxId)));
  }

  #open(entry: Entry): void {
    entry.opening = entry.channel.open().then(
      () => {
        if (entry.state === "removed") return;
        entry.state = "open";
        entry.faulted = false;
        entry.onOpen();
      },
      (fault: unknown) => {
        if (entry.state === "removed") return;
        if (!entry.faulted)
          entry.onFault("the egress socket cannot be opened: its directory is missing or not the proxy's");
        if (!entry.faulted && !isMissing(fault)) this.#deps.onFault(fault);
        entry.faulted = true;
        entry.retry = setTimeout(() => this.#open(entry), retryMs);
      },
    );
  }

  async #sweep(): Promise<void> {
    const outage = this.#deps.gatekeeper.findOutage();
    if (outage !== undefined) {
      this.#deps.onOutage();
      for (const { channel } of this.#channels.values()) channel.cutAllowed(outage);
    }
    for (const entry of [...this.#channels.values()]) {
      if (entry.state !== "open" || (await entry.channel.isReachable()) || entry.state !== "open") continue;
      entry.state = "closed";
      await entry.channel.close();
      if (this.#channels.get(entry.channel.sandboxId) === entry) this.#open(entry);
    }
  }
}

interface Entry {
  readonly channel: Channel;
  state: "closed" | "open" | "removed";
  /** Whether the present fault was told. */
  faulted: boolean;
  retry: NodeJS.Timeout | undefined;
  opening: Promise<void> | undefined;
  readonly onOpen: () => void;
  /** Told in plain words why the channel is not open, once. */
  readonly onFault: (fault: string) => void;
}

function isMissing(fault: unknown): boolean {
  return fault instanceof Error && "code" in fault && (fault.code === "ENOENT" || fault.code === "EACCES");
}
