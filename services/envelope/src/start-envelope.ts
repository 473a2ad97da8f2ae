import { randomUUID } from "node:crypto";
import { setMaxListeners } from "node:events";
import { join } from "node:path";
import { ConfigError } from "@sandgate/config";
import { FileCertificateStore } from "@sandgate/rpc";
import type { Checks, Logger } from "@sandgate/telemetry";
import type { Registry } from "prom-client";
import type * as z from "zod";
import { FailureLimit } from "./domain/failure-limit.ts";
import { LeaseTable } from "./domain/lease-table.ts";
import type { envelopeConfig } from "./envelope-config.ts";
import { EnvelopeMetrics } from "./envelope-metrics.ts";
import type { Firewall } from "./firewall/firewall.ts";
import { GuardKeeper } from "./firewall/guard-keeper.ts";
import { noFirewall } from "./firewall/no-firewall.ts";
import { openGuardBackend } from "./firewall/open-guard-backend.ts";
import { Grants } from "./grants.ts";
import { listGrants } from "./handlers/list-grants.ts";
import { openEnvelope } from "./handlers/open-envelope.ts";
import { revokeGrant } from "./handlers/revoke-grant.ts";
import { AccessServer } from "./http/access-server.ts";
import { lockInstance } from "./lock-instance.ts";
import { findTransmittedBytes, readNetworkDevices } from "./network-devices.ts";
import { startAccessService } from "./start-access-service.ts";
import { type KeySettings, openVerifyKeys } from "./tokens/open-verify-keys.ts";
import { SpentTokens } from "./tokens/spent-tokens.ts";
import type { Issuer, TokenRules } from "./tokens/verify-access-token.ts";
import { watchTransmitRate } from "./watch-transmit-rate.ts";

/** A started envelope. */
export interface RunningEnvelope {
  readonly checks: Checks;
  readonly port: number;
  /** Where AccessService is. */
  readonly grpcAddresses: readonly string[];
  /** Reads the certificate again, and answers which is in use. */
  certificates(): object;
  /** Who is in, until when, and by whose word. */
  status(): EnvelopeStatus;
  /** Ends every lease; the guard stays shut. */
  stop(): Promise<void>;
}

/** What `sandgate envelope status` reads. */
export interface EnvelopeStatus {
  readonly capacity: number;
  readonly leases: readonly {
    readonly id: string;
    /** The one that asked, and its other one where its token names it. */
    readonly addresses: readonly string[];
    readonly issuer: string;
    readonly subject: string;
    /** RFC 3339. */
    readonly endTime: string;
  }[];
}

/** As M-Lab's envelope counts where it needs no token: as many as there may be connections. */
const unlimited = { capacity: 100_000, reserved: 0, per_subject: undefined, per_address: 100_000 } as const;

type EnvelopeConfig = z.output<typeof envelopeConfig>;

interface EnvelopeDeps {
  readonly logger: Logger;
  readonly registry: Registry;
  readonly clock: () => number;
  /** Milliseconds of a clock that is never set. */
  readonly monotonic: () => number;
}

/**
 * Starts the envelope: the guard first, then the way in. Rejects with an error that has an exit code where it cannot: without a firewall there
 * is no envelope. What fails after the guard is up leaves it up.
 */
export async function startEnvelope(config: EnvelopeConfig, deps: EnvelopeDeps): Promise<RunningEnvelope> {
  const { logger, clock, monotonic } = deps;
  const { compatible } = config;
  const isGuarded = config.development === undefined && compatible?.token_required !== false;
  if (!isGuarded) logger.warn("no firewall: everybody reaches the guarded ports");
  if (config.tls === undefined) logger.warn("plain HTTP: who is on the way can read tokens and use them");
  const issuers = openIssuers(config, deps);
  const transmit = config.transmit && watchTransmitRate(config.transmit, deps);
  const lock = await lockInstance(config.instance);
  const spent = await SpentTokens.open(join(config.state_directory, `spent-tokens-${config.instance}`), clock);
  const lease = compatible?.token_required === false ? { ...config.lease, ...unlimited } : config.lease;
  const table = new LeaseTable({
    capacity: lease.capacity,
    reserved: lease.reserved,
    perSubject: lease.per_subject ?? Number.POSITIVE_INFINITY,
    perAddress: lease.per_address,
  });
  const metrics = new EnvelopeMetrics(
    deps.registry,
    { capacity: lease.capacity, places: () => table.places },
    { compatible: compatible !== undefined },
  );
  const firewall = isGuarded ? await openFirewall(config, deps, metrics) : noFirewall;
  const bound =
    compatible === undefined ? { maxMs: lease.max_seconds * 1000 } : { minMs: compatible.timeout_seconds * 1000 };
  const certificates =
    config.tls &&
    new FileCertificateStore(
      { caFiles: [], certificateFile: config.tls.certificate_file, keyFile: config.tls.key_file },
      { onFault: (fault) => logger.warn({ err: fault }, "the certificate cannot be read again") },
    );
  const tokens: TokenRules = {
    ...issuers,
    machine: config.machine,
    service: config.service,
    subjectMode: config.subject_mode,
    compatible: compatible !== undefined,
    monitoringSubject: compatible?.monitoring_subject === true,
    singleUse: compatible === undefined || compatible.single_use,
  };
  const limits = { failures: new FailureLimit(config.failures_per_minute, monotonic), transmit };
  const grants = new Grants({ table, spent, firewall, bound, clock, monotonic, newId: randomUUID, logger });
  const stopping = new AbortController();
  setMaxListeners(0, stopping.signal); // one for each grant
  const clocks = { clock, monotonic };
  const server = new AccessServer({
    address: { ...splitAddress(config.address), ipv6Only: config.ipv6_only },
    certificates,
    rules: {
      tokens,
      ...limits,
      tokenRequired: compatible?.token_required ?? true,
      query: config.tokens?.query === true || compatible !== undefined,
      origins: compatible === undefined ? new Set(config.allowed_origins) : "any",
      allowPath: compatible?.allow_path === true,
      strictKey: config.strict_websocket_key,
    },
    grants,
    maxGrants: Math.min(lease.capacity * lease.per_address, 2 ** 31 - 1),
    metrics,
    clock,
    monotonic,
    logger,
  });
  const access =
    config.grpc &&
    (await startAccessService(config.grpc, {
      ...deps,
      handlers: {
        openEnvelope: openEnvelope({ grants, tokens, limits, metrics, stopping: stopping.signal, ...clocks, logger }),
        listGrants: listGrants({ table, ...clocks }),
        revokeGrant: revokeGrant({ grants }),
      },
    }).catch(async (error: unknown) => {
      await firewall.stop();
      throw error;
    }));
  const port = await server.listen().catch(async (error: unknown) => {
    await access?.stop();
    await firewall.stop();
    throw error;
  });
  logger.info({ port, secure: config.tls !== undefined }, "clients may ask");
  return {
    port,
    grpcAddresses: access?.addresses ?? [],
    status: () => ({
      capacity: lease.capacity,
      leases: table.leases.map(({ id, addresses, issuer, subject, deadlineMs }) => {
        const endTime = new Date(clock() + deadlineMs - monotonic()).toISOString();
        return { id, addresses: addresses.map(({ text }) => text), issuer, subject, endTime };
      }),
    }),
    certificates: () => {
      certificates?.reload();
      return { ...certificates?.inUse, ...(access !== undefined && { grpc: access.certificates() }) };
    },
    checks: {
      firewall: () => firewall.check(),
      transmit: () => transmit?.check(),
      ...access?.checks,
      keys: () => {
        if (issuers.clients?.keys.isUsable() === false) throw new Error("the keys of the issuer cannot be read");
      },
    },
    stop: async () => {
      certificates?.close();
      transmit?.stop();
      stopping.abort();
      await access?.stop();
      await server.stop();
      await firewall.stop();
      await Promise.all([issuers.clients?.keys.stop(), issuers.monitoring?.keys.stop(), spent.close()]);
      await lock.release();
      logger.info(isGuarded ? "no lease is left; the guarded ports stay shut" : "no lease is left");
    },
  };
}

function openIssuers(
  config: EnvelopeConfig,
  { logger, clock }: EnvelopeDeps,
): { readonly clients: Issuer | undefined; readonly monitoring: Issuer | undefined } {
  const open = (settings: KeySettings & { readonly issuer: string }, path: string): Issuer => ({
    issuer: settings.issuer,
    algorithms: settings.algorithms,
    keys: openVerifyKeys(settings, {
      path,
      clock,
      onFault: (fault) => logger.warn({ err: fault, issuer: settings.issuer }, "the keys of an issuer cannot be read"),
    }),
  });
  return {
    clients: config.tokens && open(config.tokens, "tokens"),
    monitoring: config.monitoring && open(config.monitoring, "monitoring"),
  };
}

async function openFirewall(config: EnvelopeConfig, deps: EnvelopeDeps, metrics: EnvelopeMetrics): Promise<Firewall> {
  const { device } = config.firewall;
  if (device !== undefined && findTransmittedBytes(readNetworkDevices(), device) === undefined)
    throw new ConfigError([
      { path: "firewall.device", message: "is no network device of this host: nothing would be guarded" },
    ]);
  const firewall = new GuardKeeper({
    backend: openGuardBackend(config, deps.logger),
    monotonic: deps.monotonic,
    onFault: (fault) => metrics.countFirewallFailure(fault),
    logger: deps.logger,
  });
  await firewall.start();
  return firewall;
}

function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const at = address.lastIndexOf(":");
  return { host: address.slice(0, at).replace(/^\[(.*)\]$/, "$1"), port: Number(address.slice(at + 1)) };
}
