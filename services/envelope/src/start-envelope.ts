import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Checks, Logger } from "@sandgate/telemetry";
import type { Registry } from "prom-client";
import type * as z from "zod";
import { LeaseTable } from "./domain/lease-table.ts";
import type { envelopeConfig } from "./envelope-config.ts";
import { EnvelopeMetrics } from "./envelope-metrics.ts";
import type { Firewall } from "./firewall/firewall.ts";
import { NftablesFirewall } from "./firewall/nftables-firewall.ts";
import { noFirewall } from "./firewall/no-firewall.ts";
import { runNft } from "./firewall/run-nft.ts";
import { Grants } from "./grants.ts";
import { AccessServer } from "./http/access-server.ts";
import { lockInstance } from "./lock-instance.ts";
import { type KeySettings, openVerifyKeys } from "./tokens/open-verify-keys.ts";
import { SpentTokens } from "./tokens/spent-tokens.ts";
import type { Issuer } from "./tokens/verify-access-token.ts";

/** A started envelope. */
export interface RunningEnvelope {
  readonly checks: Checks;
  readonly port: number;
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
    readonly address: string;
    readonly issuer: string;
    readonly subject: string;
    /** RFC 3339. */
    readonly endTime: string;
  }[];
}

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
  if (config.development !== undefined) logger.warn("no firewall: everybody reaches the guarded ports");
  const issuers = openIssuers(config, deps);
  const lock = await lockInstance(config.instance);
  const spent = await SpentTokens.open(join(config.state_directory, `spent-tokens-${config.instance}`), clock);
  const { lease } = config;
  const table = new LeaseTable({
    capacity: lease.capacity,
    perSubject: lease.per_subject ?? Number.POSITIVE_INFINITY,
    perAddress: lease.per_address,
  });
  const metrics = new EnvelopeMetrics(
    deps.registry,
    { capacity: lease.capacity, places: () => table.places },
    { compatible: config.compatible !== undefined },
  );
  const firewall = await openFirewall(config, deps, metrics);
  const bound =
    config.compatible === undefined
      ? { maxMs: lease.max_seconds * 1000 }
      : { minMs: config.compatible.timeout_seconds * 1000 };
  const server = new AccessServer({
    address: splitAddress(config.address),
    tls: config.tls && { cert: readFileSync(config.tls.certificate_file), key: readFileSync(config.tls.key_file) },
    rules: {
      tokens: {
        ...issuers,
        machine: config.machine,
        service: config.service,
        subjectMode: config.subject_mode,
        compatible: config.compatible !== undefined,
      },
      query: config.tokens.query || config.compatible !== undefined,
      origins: config.compatible === undefined ? new Set(config.allowed_origins) : "any",
    },
    grants: new Grants({ table, spent, firewall, bound, clock, monotonic, newId: randomUUID, logger }),
    maxGrants: lease.capacity * lease.per_address,
    metrics,
    clock,
    monotonic,
    logger,
  });
  const port = await server.listen();
  logger.info({ port, secure: config.tls !== undefined }, "clients may ask");
  return {
    port,
    status: () => ({
      capacity: lease.capacity,
      leases: table.leases.map(({ id, address, issuer, subject, deadlineMs }) => {
        const endTime = new Date(clock() + deadlineMs - monotonic()).toISOString();
        return { id, address: address.text, issuer, subject, endTime };
      }),
    }),
    checks: {
      firewall: () => firewall.check(),
      keys: () => {
        if (!issuers.clients.keys.isUsable()) throw new Error("the keys of the issuer cannot be read");
      },
    },
    stop: async () => {
      await server.stop();
      await firewall.stop();
      await Promise.all([issuers.clients.keys.stop(), issuers.monitoring?.keys.stop(), spent.close()]);
      await lock.release();
      logger.info(
        config.development === undefined ? "no lease is left; the guarded ports stay shut" : "no lease is left",
      );
    },
  };
}

function openIssuers(
  config: EnvelopeConfig,
  { logger, clock }: EnvelopeDeps,
): { readonly clients: Issuer; readonly monitoring: Issuer | undefined } {
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
    clients: open(config.tokens, "tokens"),
    monitoring: config.monitoring && open(config.monitoring, "monitoring"),
  };
}

async function openFirewall(config: EnvelopeConfig, deps: EnvelopeDeps, metrics: EnvelopeMetrics): Promise<Firewall> {
  if (config.development !== undefined) return noFirewall;
  const firewall = new NftablesFirewall({
    nft: (args, input) => runNft(config.firewall.nft_file, args, input),
    table: `sandgate_envelope_${config.instance}`,
    ports: config.guarded,
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
