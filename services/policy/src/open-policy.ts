import { randomUUID } from "node:crypto";
import type { AuthService } from "@sandgate/api/auth";
import { AuditLog } from "@sandgate/audit";
import type { SandboxSockets, SubjectRegister, TrustState } from "@sandgate/identity";

import { type ConnectionSettings, openDatabase } from "@sandgate/postgres";
import type { Client } from "@sandgate/rpc";
import type { Logger } from "@sandgate/telemetry";
import type * as z from "zod";
import { loadSealingKeys } from "./load-sealing-keys.ts";
import { createPolicyModule, type PolicyModule } from "./module.ts";
import type { policySettings } from "./policy-config.ts";
import type { PolicyStore } from "./store/policy-store.ts";

/** Policy with all that it stands on, not started yet. */
export interface OpenPolicy {
  readonly module: PolicyModule;
  readonly audit: AuditLog;
  /** Ends what was opened here. The module must have been stopped. */
  close(): Promise<void>;
}

/** What a test puts around the parts of Policy. */
export interface PolicyParts {
  readonly store?: (store: PolicyStore) => PolicyStore;
}

/** Opens Policy's database and builds its module. */
export async function openPolicy(options: {
  readonly settings: z.output<z.ZodObject<typeof policySettings>>;
  readonly connection: ConnectionSettings;
  readonly trust: TrustState;
  readonly register: SubjectRegister;
  readonly auth: Pick<Client<typeof AuthService>, "issueEgressToken" | "createExchangePermit">;
  readonly sockets: SandboxSockets;
  readonly parts?: PolicyParts | undefined;
  readonly logger: Logger;
  readonly clock: () => number;
}): Promise<OpenPolicy> {
  const { connection, logger, clock } = options;
  const migrations = new URL("../migrations", import.meta.url);
  const pool = await openDatabase({ connection, service: "policy", migrations, logger });
  const sealingKeys = await loadSealingKeys(options.settings.provider_key_file, pool);
  const audit = new AuditLog({ database: pool, clock });
  const module = createPolicyModule({
    pool,
    connection,
    audit,
    subjects: options.register,
    trust: options.trust,
    auth: options.auth,
    sockets: options.sockets,
    aroundStore: options.parts?.store,
    logger,
    clock,
    newId: randomUUID,
    sealingKeys,
    decisionRetentionDays: options.settings.decision_retention_days,
  });
  return {
    module,
    audit,
    close: async () => {
      await audit.close();
      await pool.close();
    },
  };
}
