import { createHash } from "node:crypto";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Provider, ProviderSchema } from "@sandgate/api/policy";
import { Secret } from "@sandgate/config";
import type { SandboxScope } from "@sandgate/identity";
import type { ProviderMessage } from "@sandgate/policy";
import { type Pool, type SqlClient, withTransaction } from "@sandgate/postgres";
import { ServiceError } from "@sandgate/rpc";
import { type KeyRing, SealingError } from "@sandgate/sealing";
import { topics } from "../feed/topics.ts";
import { announcedChange, type ChangeDeps } from "./announced-change.ts";
import { claimRequest, type IdentifiedRequest } from "./claim-request.ts";
import type { Page } from "./policy-store.ts";
import { lockPolicies, touchGrantedSandboxes } from "./provider-grants.ts";
import type { GrantedProvider, ProviderChange, ProviderStore, SecretRequest } from "./provider-store.ts";

const maximumProviders = 1000;

/** Keeps providers in PostgreSQL, their secrets sealed. */
export class PostgresProviderStore implements ProviderStore {
  readonly #pool: Pool;
  readonly #change: ChangeDeps;
  readonly #keys: KeyRing | undefined;
  readonly #clock: () => number;
  readonly #newProviderId: () => string;

  constructor(
    deps: ChangeDeps & {
      readonly keys: KeyRing | undefined;
      readonly clock: () => number;
      /** "prv-" and 20 characters. */
      readonly newProviderId: () => string;
    },
  ) {
    this.#pool = deps.pool;
    this.#change = deps;
    this.#keys = deps.keys;
    this.#clock = deps.clock;
    this.#newProviderId = deps.newProviderId;
  }

  async create(change: ProviderChange, settings: ProviderMessage, secret: Secret): Promise<Provider> {
    const { organizationId } = change;
    const keys = this.#requireKeys();
    const request = identify(keys, "create", change, settings, secret);
    return this.#answered(change, request, "provider.created", async (tx, now) => {
      const { rows } = await tx.query<{ count: bigint }>(
        `select count(*) as count from providers where organization_id = $1`,
        [organizationId],
      );
      if ((rows[0]?.count ?? 0n) >= maximumProviders)
        throw new ServiceError("LIMIT_REACHED", "an organization has at most 1000 providers");
      const row = {
        id: this.#newProviderId(),
        organization_id: organizationId,
        version: 1n,
        settings: encode(settings),
      };
      const inserted = await tx.query<ProviderRow>(
        `insert into providers (id, organization_id, name, settings, version, sealed_secret, create_time, update_time)
         values ($1, $2, $3, $4, $5, $6, $7, $7)
         on conflict (organization_id, name) do nothing
         returning ${columns}`,
        [row.id, organizationId, change.name, row.settings, row.version, sealSecret(keys, row, secret), now],
      );
      if (inserted.rows[0] === undefined)
        throw new ServiceError("PROVIDER_EXISTS", "another provider has this name", { name: change.name });
      return inserted.rows[0];
    });
  }

  async update(change: ProviderChange, settings: ProviderMessage | undefined, secret: Secret): Promise<Provider> {
    const keys = this.#requireKeys();
    const request = identify(keys, "update", change, settings, secret);
    return this.#answered(change, request, "provider.updated", async (tx, now) => {
      const found = await getProvider(tx, change);
      const row = {
        ...found,
        version: found.version + 1n,
        settings: settings === undefined ? found.settings : encode(settings),
      };
      const { rows } = await tx.query<ProviderRow>(
        `update providers set settings = $2, version = $3, sealed_secret = $4, update_time = $5 where id = $1
         returning ${columns}`,
        [row.id, row.settings, row.version, sealSecret(keys, row, secret), now],
      );
      return rows[0] ?? row;
    });
  }

  async delete(change: ProviderChange): Promise<void> {
    const keys = this.#requireKeys();
    const request = identify(keys, "delete", change, undefined, undefined);
    await this.#answered(change, request, "provider.deleted", async (tx) => {
      const found = await getProvider(tx, change);
      await tx.query(`delete from providers where id = $1`, [found.id]);
      return found;
    });
  }

  async find(organizationId: string, name: string): Promise<Provider | undefined> {
    const { rows } = await this.#pool.query<ProviderRow>(
      `select ${columns} from providers where organization_id = $1 and name = $2`,
      [organizationId, name],
    );
    return rows[0] === undefined ? undefined : toProvider(rows[0]);
  }

  async list(organizationId: string, pageSize: number, after: string): Promise<Page<Provider>> {
    const { rows } = await this.#pool.query<ProviderRow>(
      `select ${columns} from providers where organization_id = $1 and name > $2 order by name limit $3`,
      [organizationId, after, pageSize + 1],
    );
    return { items: rows.slice(0, pageSize).map(toProvider), more: rows.length > pageSize };
  }

  async listGranted(sandboxIds: readonly string[]): Promise<readonly GrantedProvider[]> {
    if (sandboxIds.length === 0) return [];
    const { rows } = await this.#pool.query<ProviderRow & { sandbox_id: string; placeholder: string }>(
      `select g.sandbox_id, g.placeholder, p.id, p.organization_id, p.settings, p.version, p.create_time, p.update_time
         from provider_grants g
         join providers p on p.organization_id = g.organization_id and p.name = g.provider_name
        where g.sandbox_id = any($1)
        order by g.sandbox_id, p.name`,
      [sandboxIds],
    );
    return rows.map((row) => ({
      sandboxId: row.sandbox_id,
      providerId: row.id,
      provider: toProvider(row),
      placeholder: row.placeholder,
    }));
  }

  async listPlaceholders(scope: SandboxScope): Promise<ReadonlyMap<string, string>> {
    const { rows } = await this.#pool.query<{ provider_name: string; placeholder: string }>(
      `select provider_name, placeholder from provider_grants where sandbox_id = $1 order by provider_name`,
      [scope.sandboxId],
    );
    return new Map(rows.map((row) => [row.provider_name, row.placeholder]));
  }

  async release({ sandboxId, placeholder, providerId, version, author }: SecretRequest): Promise<Secret> {
    const keys = this.#requireKeys();
    const { rows } = await this.#pool.query<SecretRow>(
      `select ${columns}, sealed_secret
         from providers
        where (organization_id, name) = (
                select g.organization_id, g.provider_name
                  from provider_grants g
                  join current_policies c on c.sandbox_id = g.sandbox_id
                 where g.sandbox_id = $1 and g.placeholder = $2 and c.retire_time is null)`,
      [sandboxId, placeholder],
    );
    const [row] = rows;
    if (row === undefined) throw new ServiceError("PROVIDER_NOT_FOUND", "no such provider");
    if (row.id !== providerId || row.version !== version)
      throw new ServiceError("PROVIDER_CHANGED", "the provider has another version");
    const secret = new Secret(keys.open(row.sealed_secret, aboutRow(row)).toString("latin1"));
    await this.#change.audit.record({
      action: "provider.secret_released",
      ...author,
      organizationId: row.organization_id,
      sandboxId,
      details: detailsOf(row),
    });
    return secret;
  }

  async reseal(): Promise<{ resealed: number; unreadable: readonly string[] }> {
    const keys = this.#requireKeys();
    const { rows: ids } = await this.#pool.query<{ id: string }>(`select id from providers order by id`);
    const outcomes = { resealed: 0, unreadable: [] as string[] };
    for (const { id } of ids)
      await withTransaction(this.#pool, async (tx) => {
        const { rows } = await tx.query<SecretRow>(
          `select ${columns}, sealed_secret from providers where id = $1 for update`,
          [id],
        );
        const [row] = rows;
        if (row === undefined || keys.isCurrent(row.sealed_secret)) return;
        const opened = tryOpen(keys, row);
        if (opened === undefined) {
          outcomes.unreadable.push(id);
          return;
        }
        await tx.query(`update providers set sealed_secret = $2 where id = $1`, [id, keys.seal(opened, aboutRow(row))]);
        outcomes.resealed += 1;
      });
    return outcomes;
  }

  /** Makes a change, once for each request id, tells the sandboxes that may use the provider, and keeps the answer. */
  async #answered(
    change: ProviderChange,
    request: IdentifiedRequest | undefined,
    action: string,
    run: (tx: SqlClient, now: Date) => Promise<ProviderRow>,
  ): Promise<Provider> {
    const now = new Date(this.#clock());
    return announcedChange(this.#change, async (tx) => {
      const answered = await claimRequest(tx, request, now);
      if (answered !== undefined)
        return { changed: [], result: fromBinary(ProviderSchema, answered.answer ?? new Uint8Array()) };
      await lockPolicies(tx);
      const row = await run(tx, now);
      const sandboxIds = await touchGrantedSandboxes(tx, change);
      const result = toProvider(row);
      if (request !== undefined)
        await tx.query(`update requests set answer = $3 where organization_id = $1 and request_id = $2`, [
          request.organizationId,
          request.requestId,
          toBinary(ProviderSchema, result),
        ]);
      return {
        changed: sandboxIds.length === 0 ? [] : [topics.policies, ...sandboxIds.map(topics.sandbox)],
        audit: {
          action,
          ...change.author,
          organizationId: change.organizationId,
          details: {
            ...detailsOf(row),
            sandboxes: String(sandboxIds.length),
            ...(request === undefined ? {} : { request_id: request.requestId }),
          },
        },
        result,
      };
    });
  }

  #requireKeys(): KeyRing {
    if (this.#keys !== undefined) return this.#keys;
    throw new ServiceError("PROVIDERS_NOT_CONFIGURED", "this suite keeps no providers");
  }
}

const columns = "id, organization_id, settings, version, create_time, update_time";

interface ProviderRow {
  readonly id: string;
  readonly organization_id: string;
  readonly settings: Uint8Array;
  readonly version: bigint;
  readonly create_time: Date;
  readonly update_time: Date;
}

type SecretRow = ProviderRow & { readonly sealed_secret: Buffer };
type SealedRow = Pick<ProviderRow, "id" | "organization_id" | "version" | "settings">;

/** What a secret is tied to: whoever can write into the database gets it sent nowhere else by changing a row. */
function aboutRow({ id, organization_id, version, settings }: SealedRow): string {
  const digest = createHash("sha256").update(settings).digest("hex");
  return ["sandgate provider", organization_id, id, String(version), digest].join("\n");
}

function sealSecret(keys: KeyRing, row: SealedRow, secret: Secret): Buffer {
  return keys.seal(Buffer.from(secret.reveal(), "latin1"), aboutRow(row));
}

function tryOpen(keys: KeyRing, row: SecretRow): Buffer | undefined {
  try {
    return keys.open(row.sealed_secret, aboutRow(row));
  } catch (fault) {
    if (!(fault instanceof SealingError)) throw fault;
    return undefined;
  }
}

async function getProvider(tx: SqlClient, { organizationId, name }: ProviderChange): Promise<ProviderRow> {
  const { rows } = await tx.query<ProviderRow>(
    `select ${columns} from providers where organization_id = $1 and name = $2`,
    [organizationId, name],
  );
  if (rows[0] === undefined) throw new ServiceError("PROVIDER_NOT_FOUND", "no such provider", { name });
  return rows[0];
}

function identify(
  keys: KeyRing,
  method: string,
  { organizationId, name, requestId, author }: ProviderChange,
  settings: ProviderMessage | undefined,
  secret: Secret | undefined,
): IdentifiedRequest | undefined {
  if (requestId === undefined) return undefined;
  const text = JSON.stringify([method, author.principal, name, settings ?? null, secret?.reveal() ?? null]);
  return { organizationId, requestId, digest: keys.digest(text), isSame: (first) => keys.isDigestOf(first, text) };
}

function encode(settings: ProviderMessage): Uint8Array {
  return toBinary(ProviderSchema, create(ProviderSchema, settings));
}

function toProvider(row: ProviderRow): Provider {
  const provider = fromBinary(ProviderSchema, row.settings);
  provider.version = row.version;
  provider.createTime = timestampFromDate(row.create_time);
  provider.updateTime = timestampFromDate(row.update_time);
  return provider;
}

function detailsOf(row: ProviderRow): Readonly<Record<string, string>> {
  const { name, endpoints } = fromBinary(ProviderSchema, row.settings);
  return {
    provider: name,
    provider_id: row.id,
    version: String(row.version),
    endpoints: endpoints.map(({ host, port, path }) => `${host}:${port}${path}`).join(" "),
  };
}
