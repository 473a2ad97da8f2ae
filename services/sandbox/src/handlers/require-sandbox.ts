import type { SandboxScope } from "@sandgate/identity";
import { ServiceError } from "@sandgate/rpc";
import type { SandboxRecord } from "../domain/sandbox-record.ts";
import type { SandboxStore } from "../store/sandbox-store.ts";

/** The sandbox of a scope. Throws SANDBOX_NOT_FOUND when there is no row of it. */
export async function requireSandbox(store: Pick<SandboxStore, "find">, scope: SandboxScope): Promise<SandboxRecord> {
  const record = await store.find(scope);
  if (record === undefined) throw new ServiceError("SANDBOX_NOT_FOUND", "no such sandbox");
  return record;
}
