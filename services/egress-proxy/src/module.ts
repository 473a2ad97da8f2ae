import { randomBytes } from "node:crypto";
import { networkInterfaces } from "node:os";
import { type AuthService, RevocationKind, type WatchTrustResponse } from "@sandgate/api/auth";
import { type PolicyService, Verdict } from "@sandgate/api/policy";
import { followTrust, TrustState } from "@sandgate/identity";
import type { Client } from "@sandgate/rpc";
import { background, type Logger } from "@sandgate/telemetry";
import type { Registry } from "prom-client";
import type { Channel } from "./channel/channel.ts";
import { ChannelSet } from "./channel/channel-set.ts";
import { DecisionLog, type DecisionReport } from "./control/decision-log.ts";
import { PolicyFeed } from "./control/policy-feed.ts";
import { StatusReporter } from "./control/status-reporter.ts";
import { CredentialInjector } from "./credentials/credential-injector.ts";
import { ProviderTable } from "./credentials/provider-table.ts";
import { SecretCache } from "./credentials/secret-cache.ts";
import { type DevelopmentOrigin, type Dial, Dialer } from "./decision/dialer.ts";
import { Gatekeeper } from "./decision/gatekeeper.ts";
import { PolicyTable } from "./decision/policy-table.ts";
import { createNameResolver } from "./decision/resolver.ts";
import type { Limits } from "./limits.ts";
import { ProxyMetrics } from "./proxy-metrics.ts";

/** What the egress proxy is made of. */
export interface EgressProxyDeps {
  readonly auth: Pick<Client<typeof AuthService>, "watchTrust">;
  readonly policy: Pick<
    Client<typeof PolicyService>,
    "watchPolicies" | "reportPolicyStatus" | "reportDecisions" | "releaseProviderSecret"
  >;
  readonly trustDomain: string;
  /** Holds one directory for each sandbox. */
  readonly egressDirectory: string;
  readonly limits: Limits;
  /** Default: those of the machine. */
  readonly dnsServers?: readonly string[] | undefined;
  readonly developmentOrigins: readonly DevelopmentOrigin[];
  /** PEM of the authorities of origins that the proxy itself speaks TLS to. Default: those that Node brings. */
  readonly originAuthorities?: readonly string[] | undefined;
  /** Ports of the suite itself: never dialled on an address of this machine. */
  readonly ownPorts: ReadonlySet<number>;
  readonly clock: () => number;
  /** "dec-" and 20 characters of [a-z2-7]. */
  readonly newDecisionId: () => string;
  readonly logger: Logger;
  readonly registry: Registry;
  /** Default: TCP. */
  readonly dial?: Dial;
  /** Puts something around the channel of each sandbox. */
  readonly aroundChannel?: ((channel: Channel) => Channel) | undefined;
}

/** The egress proxy, ready to start. It serves no RPC: its listeners are the sandboxes' channels. */
export interface EgressProxyModule {
  readonly services: readonly [];
  start(): Promise<void>;
  /** Cuts every connection, reports the last decisions and ends. */
  stop(): Promise<void>;
  readonly checks: Readonly<Record<string, () => void>>;
}

const lastReportMs = 3_000;

/** Builds the egress proxy. Nothing runs before `start`. */
export function createEgressProxyModule(deps: EgressProxyDeps): EgressProxyModule {
  const { logger, clock, limits } = deps;
  const stopping = new AbortController();
  const runName = randomBytes(8).toString("hex");
  const onFault = (what: string) => (fault: unknown) => logger.warn({ err: fault }, what);

  const policies = new PolicyTable();
  const providers = new ProviderTable();
  const secrets = new SecretCache({ client: deps.policy });
  const trust = new TrustState({ clock });
  const status = new StatusReporter({ client: deps.policy, onFault: onFault("policy status could not be reported") });
  const decisions = new DecisionLog({
    client: deps.policy,
    runId: runName,
    onFault: onFault("decisions could not be reported"),
    onDrop: (count) => metrics.countDropped(count),
  });
  const metrics = new ProxyMetrics(deps.registry, {
    pendingDecisions: () => decisions.pending,
    policies: () => policies.sandboxIds.length,
  });
  const gatekeeper: Gatekeeper = new Gatekeeper({
    trust,
    trustDomain: deps.trustDomain,
    policies,
    isPolicyCurrent: (): boolean => feed.isCurrent(),
    clock,
  });
  const resolver = createNameResolver({ timeoutMs: limits.resolveTimeoutMs, clock, servers: deps.dnsServers });
  const dialer = new Dialer({
    resolver,
    timeoutMs: limits.dialTimeoutMs,
    developmentOrigins: deps.developmentOrigins,
    isOwnEndpoint: (address, port) => deps.ownPorts.has(port) && ownAddresses().has(address),
    ...(deps.dial === undefined ? {} : { dial: deps.dial }),
  });
  const channels: ChannelSet = new ChannelSet(
    {
      gatekeeper,
      dialer,
      credentials: new CredentialInjector({ providers, secrets }),
      originAuthorities: deps.originAuthorities,
      onOutage: () => secrets.forgetAll(),
      policies,
      trust,
      limits,
      viaName: `sandgate-${runName}`,
      clock,
      newDecisionId: deps.newDecisionId,
      report: (report) => {
        decisions.record(report);
        if (report.duration === undefined) return;
        metrics.count(report);
        logDecision(logger, report);
      },
      onConnections: (change) => metrics.countConnections(change),
      onFault: onFault("a connection failed"),
    },
    { directory: deps.egressDirectory, around: deps.aroundChannel },
  );
  const feed: PolicyFeed = new PolicyFeed({
    client: deps.policy,
    policies,
    providers,
    secrets,
    channels,
    status,
    clock,
    graceMs: limits.policyGraceMs,
    onFault: onFault("the policy stream was lost"),
  });
  trust.onChange((change) => {
    if (changesKeys(change)) gatekeeper.forgetTokens();
    const revoked = revokedSandbox(change);
    if (revoked !== undefined) secrets.forget(revoked);
  });

  return {
    services: [],
    async start() {
      const { signal } = stopping;
      background(
        followTrust({ client: deps.auth, state: trust, signal, onFault: onFault("the trust stream was lost") }),
        logger,
        "the trust stream ended",
      );
      background(feed.follow(signal), logger, "the policy stream ended");
      channels.start();
    },
    async stop() {
      stopping.abort();
      resolver.stop();
      await channels.stop();
      secrets.forgetAll();
      status.stop();
      await decisions.stop(lastReportMs);
    },
    checks: {
      trust: () => {
        if (!trust.isCurrent()) throw new Error("nothing was heard from Auth for 10 seconds");
      },
      policies: () => {
        if (!feed.isCurrent()) throw new Error("the policies are not known");
      },
    },
  };
}

function changesKeys({ change }: WatchTrustResponse): boolean {
  switch (change.case) {
    case "snapshot":
    case "signingKeys":
      return true;
    case "revocation":
      return change.value.kind === RevocationKind.SIGNING_KEY;
    default:
      return false;
  }
}

/** The sandbox that a change ends, or an incarnation of. */
function revokedSandbox({ change }: WatchTrustResponse): string | undefined {
  if (change.case === "sandbox") return change.value.alive ? undefined : change.value.sandboxId;
  if (change.case !== "revocation") return undefined;
  const { kind, subject } = change.value;
  if (kind === RevocationKind.SANDBOX) return subject;
  return kind === RevocationKind.INCARNATION ? subject.split("/", 1)[0] : undefined;
}

function ownAddresses(): ReadonlySet<string> {
  return new Set(
    Object.values(networkInterfaces()).flatMap((addresses) => (addresses ?? []).map(({ address }) => address)),
  );
}

/** One line for each decision. Its host is canonical and its other words are ours: nothing in it was chosen freely. */
function logDecision(logger: Logger, report: DecisionReport): void {
  logger.info(
    {
      decision_id: report.decisionId,
      sandbox_id: report.sandboxId,
      verdict: Verdict[report.verdict ?? Verdict.UNSPECIFIED].toLowerCase(),
      reason: report.reason,
      method: report.method,
      host: report.host,
      port: report.port,
      rule: report.rule,
      address: report.address,
      sent_bytes: Number(report.sentBytes ?? 0n),
      received_bytes: Number(report.receivedBytes ?? 0n),
    },
    "decision",
  );
}
