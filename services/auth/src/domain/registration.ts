import type { SandboxRecord } from "./sandbox-record.ts";

/** What RegisterSandbox says of a sandbox. */
export interface Registration {
  readonly sandboxId: string;
  readonly organizationId: string;
  readonly name: string;
  readonly ownerUserId: string;
  readonly incarnation: bigint;
}

/** What a registration does: nothing, a new incarnation, or why it is refused. */
export type RegistrationDecision = "unchanged" | "advance" | "retired" | "other_content" | "lower_incarnation";

/** Decides on a registration of a sandbox that is in the register already. */
export function decideRegistration(record: SandboxRecord, registration: Registration): RegistrationDecision {
  if (!record.alive) return "retired";
  if (
    record.organizationId !== registration.organizationId ||
    record.name !== registration.name ||
    record.ownerUserId !== registration.ownerUserId
  )
    return "other_content";
  if (registration.incarnation === record.incarnation) return "unchanged";
  return registration.incarnation > record.incarnation ? "advance" : "lower_incarnation";
}

/** The field of a registration that cannot stand in the register; undefined when all can. */
export function findRegistrationFault(registration: Registration): string | undefined {
  if (!/^sbx-[a-z2-7]{20}$/.test(registration.sandboxId)) return "sandbox_id";
  if (!/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(registration.name)) return "name";
  if (!uuid.test(registration.organizationId)) return "organization_id";
  if (!uuid.test(registration.ownerUserId)) return "owner_user_id";
  // in tokens the incarnation is a JSON number
  if (registration.incarnation < 1n || registration.incarnation > BigInt(Number.MAX_SAFE_INTEGER)) return "incarnation";
  return undefined;
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
