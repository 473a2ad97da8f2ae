import { type Pool, type SqlClient, withTransaction } from "@sandgate/postgres";
import { ServiceError } from "@sandgate/rpc";
import { claimRequest, storeAnswer } from "./answered-requests.ts";
import { lockOrganization } from "./lock-organization.ts";
import type { LifecycleAudit } from "./postgres-sandbox-store.ts";
import type { TemplateRecord, TemplateStore } from "./template-store.ts";

/** How many templates an organization may have. */
const maximumTemplates = 1000;

interface TemplateRow {
  readonly organization_id: string;
  readonly name: string;
  readonly content: Buffer;
  readonly creator_user_id: string;
  readonly create_time: Date;
}

const columns = "organization_id, name, content, creator_user_id, create_time";

/** Keeps templates in PostgreSQL. */
export class PostgresTemplateStore implements TemplateStore {
  readonly #pool: Pool;
  readonly #audit: Pick<LifecycleAudit, "append">;

  constructor(options: { readonly pool: Pool; readonly audit: Pick<LifecycleAudit, "append"> }) {
    this.#pool = options.pool;
    this.#audit = options.audit;
  }

  async createTemplate({
    template,
    request,
    answer,
    event,
  }: Parameters<TemplateStore["createTemplate"]>[0]): Promise<Uint8Array> {
    const { organizationId, name } = template;
    return withTransaction(this.#pool, async (tx) => {
      const known = await claimRequest(tx, request, template.createTimeMs);
      if (known !== undefined) return known;
      await lockOrganization(tx, organizationId);
      await requireRoom(tx, organizationId);
      const { rowCount } = await tx.query(
        `insert into sandbox_templates (${columns}) values ($1, $2, $3, $4, $5) on conflict do nothing`,
        [organizationId, name, template.content, template.creatorUserId, new Date(template.createTimeMs)],
      );
      if (rowCount === 0)
        throw new ServiceError("TEMPLATE_EXISTS", "the organization has a template of this name", { field: "name" });
      await this.#audit.append(tx, { ...event, organizationId, sandboxId: "" });
      return storeAnswer(tx, request, answer);
    });
  }

  async findTemplate(organizationId: string, name: string): Promise<TemplateRecord | undefined> {
    const { rows } = await this.#pool.query<TemplateRow>(
      `select ${columns} from sandbox_templates where organization_id = $1 and name = $2`,
      [organizationId, name],
    );
    return rows[0] === undefined ? undefined : toRecord(rows[0]);
  }

  async listTemplates({
    organizationId,
    afterName,
    limit,
  }: Parameters<TemplateStore["listTemplates"]>[0]): Promise<readonly TemplateRecord[]> {
    const { rows } = await this.#pool.query<TemplateRow>(
      `select ${columns} from sandbox_templates where organization_id = $1 and name > $2 order by name limit $3`,
      [organizationId, afterName, limit],
    );
    return rows.map(toRecord);
  }

  async deleteTemplate(input: Parameters<TemplateStore["deleteTemplate"]>[0]): Promise<Uint8Array> {
    const { organizationId, name, request, answer, event, nowMs } = input;
    return withTransaction(this.#pool, async (tx) => {
      const known = await claimRequest(tx, request, nowMs);
      if (known !== undefined) return known;
      const { rowCount } = await tx.query("delete from sandbox_templates where organization_id = $1 and name = $2", [
        organizationId,
        name,
      ]);
      if (rowCount === 0) throw new ServiceError("TEMPLATE_NOT_FOUND", "no such template", { field: "name" });
      await this.#audit.append(tx, { ...event, organizationId, sandboxId: "" });
      return storeAnswer(tx, request, answer);
    });
  }
}

async function requireRoom(tx: SqlClient, organizationId: string): Promise<void> {
  const { rows } = await tx.query<{ count: string }>(
    "select count(*)::text as count from sandbox_templates where organization_id = $1",
    [organizationId],
  );
  if (Number(rows[0]?.count) >= maximumTemplates)
    throw new ServiceError("LIMIT_REACHED", "the organization has as many templates as it may", {
      limit: String(maximumTemplates),
    });
}

function toRecord(row: TemplateRow): TemplateRecord {
  return {
    organizationId: row.organization_id,
    name: row.name,
    content: row.content,
    creatorUserId: row.creator_user_id,
    createTimeMs: row.create_time.getTime(),
  };
}
