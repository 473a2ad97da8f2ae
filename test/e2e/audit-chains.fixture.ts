import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type AuditHead, AuditLog, type AuditVerification } from "@sandgate/audit";
import { createPool, roleOf } from "@sandgate/postgres";

const services = ["auth", "sandbox", "policy"] as const;

/** The end of each service's audit log. */
export type AuditHeads = Readonly<Partial<Record<string, AuditHead>>>;

/** Checks the audit log of every service of a suite from its first record; with heads from before, that none of those is gone. */
export async function verifyAuditChains(
  stateDirectory: string,
  expected: AuditHeads = {},
): Promise<Readonly<Record<string, AuditVerification>>> {
  const outcomes = await Promise.all(
    services.map(async (service) => {
      const config = JSON.parse(readFileSync(join(stateDirectory, "config", `${service}.json`), "utf8"));
      const pool = createPool({ connection: config.database, role: roleOf(service), schema: service });
      const log = new AuditLog({ database: pool, clock: Date.now });
      try {
        const head = expected[service];
        return [service, await log.verify(head === undefined ? {} : { expected: head })] as const;
      } finally {
        await log.close();
        await pool.close();
      }
    }),
  );
  return Object.fromEntries(outcomes);
}

/** The heads of logs that are all intact. Throws when one is not. */
export async function auditHeads(stateDirectory: string): Promise<AuditHeads> {
  const outcomes = Object.entries(await verifyAuditChains(stateDirectory));
  return Object.fromEntries(
    outcomes.map(([service, outcome]) => {
      if (outcome.kind === "broken") throw new Error(`the audit log of ${service} is broken: ${outcome.fault}`);
      return [service, outcome.head];
    }),
  );
}
