import { chmod, lstat, unlink } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import type { TrustState } from "@sandgate/identity";
import { type CompiledPolicy, decideDialled } from "@sandgate/policy";
import type { DecisionReport } from "../control/decision-log.ts";
import type { CredentialInjector } from "../credentials/credential-injector.ts";
import type { Dialer } from "../decision/dialer.ts";
import type { EgressIdentity, Gatekeeper } from "../decision/gatekeeper.ts";
import type { PolicyTable } from "../decision/policy-table.ts";
import { type CutReason, Refusal } from "../decision/refusal.ts";
import type { Limits } from "../limits.ts";
import { type ConnectionContext, serveConnection } from "./connection.ts";
import { DecisionPages } from "./decision-pages.ts";
import { Exchange } from "./exchange.ts";
import { writeRefusal } from "./refusal-reply.ts";

/** What a channel needs of the proxy. */
export interface ChannelDeps {
  readonly gatekeeper: Gatekeeper;
  readonly dialer: Dialer;
  readonly credentials: CredentialInjector;
  /** PEM of the authorities of origins that the proxy itself speaks TLS to; undefined: those that Node brings. */
  readonly originAuthorities: readonly string[] | undefined;
  readonly policies: PolicyTable;
  readonly trust: Pick<TrustState, "watch">;
  readonly limits: Limits;
  readonly viaName: string;
  readonly clock: () => number;
  readonly newDecisionId: () => string;
  readonly report: (report: DecisionReport) => void;
  readonly onConnections: (change: 1 | -1) => void;
  readonly onFault: (fault: unknown) => void;
}

/** The way out of one sandbox: a Unix socket in a directory that is mounted into that sandbox alone. */
export class Channel {
  readonly sandboxId: string;
  readonly path: string;
  readonly #deps: ChannelDeps;
  readonly #context: ConnectionContext;
  readonly #sockets = new Set<Socket>();
  readonly #exchanges = new Set<Exchange>();
  #server: Server | undefined;
  #inode: bigint | undefined;
  #failures = { second: 0, count: 0 };

  constructor(deps: ChannelDeps, options: { readonly sandboxId: string; readonly path: string }) {
    this.#deps = deps;
    this.sandboxId = options.sandboxId;
    this.path = options.path;
    this.#context = this.#createContext();
  }

  /** Listens, in place of any socket that is there. Rejects where the directory is missing or not ours. */
  async open(): Promise<void> {
    await removeSocket(this.path);
    const server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.path, () => {
        server.off("error", reject);
        resolve();
      });
    });
    server.on("error", (fault) => this.#deps.onFault(fault));
    this.#server = server;
    await chmod(this.path, 0o666);
    this.#inode = (await lstat(this.path, { bigint: true })).ino;
  }

  /** Whether the socket that clients find at the path is the one that this channel listens on. */
  async isReachable(): Promise<boolean> {
    const found = await lstat(this.path, { bigint: true }).catch(() => undefined);
    return found?.isSocket() === true && found.ino === this.#inode;
  }

  /** Cuts every exchange that the sandbox's policy, as it is now, does not allow. */
  recheck(): void {
    for (const exchange of [...this.#exchanges]) this.#recheck(exchange);
  }

  /** Cuts every exchange that was allowed. */
  cutAllowed(reason: CutReason): void {
    for (const exchange of [...this.#exchanges]) if (exchange.destination !== undefined) exchange.cut(reason);
  }

  /** Stops listening, removes the socket and cuts what is open. */
  async close(): Promise<void> {
    for (const exchange of [...this.#exchanges]) exchange.cut("policy_changed");
    for (const socket of [...this.#sockets]) socket.destroy();
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const reachable = await this.isReachable();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    if (reachable) await unlink(this.path).catch(() => undefined); // Node has removed it already, or its directory is gone
  }

  #recheck(exchange: Exchange): void {
    const { policies, clock } = this.#deps;
    const policy = policies.find(this.sandboxId)?.compiled;
    if (!isStillAllowed(policy, exchange, clock())) exchange.cut("policy_changed");
  }

  #accept(socket: Socket): void {
    const { limits, onConnections } = this.#deps;
    socket.on("error", () => undefined); // whoever uses the socket sees it close
    if (this.#server === undefined) {
      socket.destroy();
      return;
    }
    if (this.#sockets.size >= limits.connectionsPerSandbox) {
      this.#refuseConnection(socket);
      return;
    }
    this.#sockets.add(socket);
    onConnections(1);
    socket.once("close", () => {
      this.#sockets.delete(socket);
      onConnections(-1);
    });
    void serveConnection(this.#context, socket);
  }

  #refuseConnection(socket: Socket): void {
    const refusal = Refusal.overQuota("this sandbox has as many connections open as it may have");
    const exchange = this.#begin();
    exchange.refuse(refusal);
    this.#exchanges.delete(exchange);
    const { decisionId, facts } = exchange;
    const reply = writeRefusal(refusal, { ...facts, decisionId, sandboxId: this.sandboxId, headOnly: false });
    socket.end(reply, "latin1", () => socket.destroy());
  }

  #begin(): Exchange {
    const { clock, newDecisionId, report } = this.#deps;
    const exchange = new Exchange({ decisionId: newDecisionId(), sandboxId: this.sandboxId, clock, report });
    this.#exchanges.add(exchange);
    return exchange;
  }

  #createContext(): ConnectionContext {
    const { gatekeeper, dialer, credentials, originAuthorities, limits, viaName, trust, onFault, clock } = this.#deps;
    const secondNow = () => Math.floor(clock() / 1000);
    return {
      sandboxId: this.sandboxId,
      gatekeeper,
      dialer,
      credentials,
      originAuthorities,
      pages: new DecisionPages(clock),
      limits,
      viaName,
      onFault,
      begin: () => this.#begin(),
      end: (exchange) => {
        exchange.close();
        this.#exchanges.delete(exchange);
      },
      recheck: (exchange) => this.#recheck(exchange),
      bind: (exchange, claims: EgressIdentity) =>
        trust.watch([`sandbox:${claims.sandboxId}`, `token:${claims.tokenId}`, `key:${claims.keyId}`], () =>
          exchange.cut("token_revoked"),
        ),
      countFailedToken: () => {
        if (this.#failures.second !== secondNow()) this.#failures = { second: secondNow(), count: 0 };
        this.#failures.count++;
      },
      requireTokenBudget: () => {
        if (this.#failures.second === secondNow() && this.#failures.count >= limits.failedTokensPerSecond)
          throw Refusal.overQuota("too many tokens of this sandbox were not valid");
      },
    };
  }
}

function isStillAllowed(policy: CompiledPolicy | undefined, exchange: Exchange, nowMs: number): boolean {
  const { destination, asked, dialled, credential } = exchange;
  if (credential?.isStillGranted() === false) return false;
  if (destination === undefined) return true;
  if (policy === undefined) return false;
  const address = dialled?.vetted ? dialled.address : undefined;
  return decideDialled(policy, destination, address, nowMs, asked).verdict !== "deny";
}

/** Removes a socket that a process before this one left. Rejects where something else is in its place. */
async function removeSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) throw new Error("the egress socket's place is taken by something that is no socket");
  await unlink(path);
}
