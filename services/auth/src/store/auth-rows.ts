import { create } from "@bufbuild/protobuf";
import { type SandboxSubject, SandboxSubjectSchema, type UserSubject, UserSubjectSchema } from "@sandgate/api/auth";
import type { SandboxRecord } from "../domain/sandbox-record.ts";
import type { SessionRecord } from "../domain/session-record.ts";
import type { TrustEvent } from "../domain/trust-change.ts";

/** A row of `sandboxes`. */
export interface SandboxRow {
  readonly id: string;
  readonly organization_id: string;
  readonly name: string;
  readonly owner_user_id: string;
  readonly incarnation: bigint;
  readonly alive: boolean;
  readonly trusted: boolean;
  readonly public_key: Buffer | null;
  readonly key_thumbprint: string | null;
  readonly rejoin_count: bigint;
  readonly bootstrap_hash: string | null;
  readonly bootstrap_expire_time: Date | null;
  readonly bootstrap_key_thumbprint: string | null;
}

/** The columns of a SandboxRow. */
export const sandboxColumns =
  "id, organization_id, name, owner_user_id, incarnation, alive, trusted, public_key, key_thumbprint, rejoin_count, bootstrap_hash, bootstrap_expire_time, bootstrap_key_thumbprint";

export function toSandboxRecord(row: SandboxRow): SandboxRecord {
  return {
    sandboxId: row.id,
    organizationId: row.organization_id,
    name: row.name,
    ownerUserId: row.owner_user_id,
    incarnation: row.incarnation,
    alive: row.alive,
    trusted: row.trusted,
    publicKeyDer: row.public_key ?? undefined,
    keyThumbprint: row.key_thumbprint ?? undefined,
    rejoinCount: row.rejoin_count,
    bootstrap:
      row.bootstrap_hash === null || row.bootstrap_expire_time === null
        ? undefined
        : {
            hash: row.bootstrap_hash,
            expiresAtMs: row.bootstrap_expire_time.getTime(),
            keyThumbprint: row.bootstrap_key_thumbprint ?? undefined,
          },
  };
}

/** What others may know of a sandbox. */
export function toSandboxSubject(record: SandboxRecord): SandboxSubject {
  return create(SandboxSubjectSchema, {
    sandboxId: record.sandboxId,
    name: record.name,
    organizationId: record.organizationId,
    ownerUserId: record.ownerUserId,
    incarnation: record.incarnation,
    alive: record.alive,
    trusted: record.trusted,
    keyThumbprint: record.keyThumbprint ?? "",
  });
}

/** A row of `users`. */
export interface UserRow {
  readonly id: string;
  readonly organization_id: string;
  readonly name: string;
  readonly role: number;
  readonly active: boolean;
}

/** The columns of a UserRow. */
export const userColumns = "id, organization_id, name, role, active";

export function toUserSubject(row: UserRow): UserSubject {
  return create(UserSubjectSchema, {
    userId: row.id,
    name: row.name,
    organizationId: row.organization_id,
    role: row.role,
    active: row.active,
  });
}

/** A row of `sessions`. */
export interface SessionRow {
  readonly token_id: string;
  readonly sandbox_id: string;
  readonly organization_id: string;
  readonly incarnation: bigint;
  readonly key_thumbprint: string;
  readonly signing_key_id: string;
  readonly issue_time: Date;
  readonly expire_time: Date;
  readonly certificate: Buffer;
  readonly certificate_sha256: string;
  readonly certificate_expire_time: Date;
  readonly predecessor: string | null;
}

/** The columns of a SessionRow. */
export const sessionColumns =
  "token_id, sandbox_id, organization_id, incarnation, key_thumbprint, signing_key_id, issue_time, expire_time, certificate, certificate_sha256, certificate_expire_time, predecessor";

export function toSessionRecord(row: SessionRow): SessionRecord {
  return {
    tokenId: row.token_id,
    sandboxId: row.sandbox_id,
    organizationId: row.organization_id,
    incarnation: row.incarnation,
    keyThumbprint: row.key_thumbprint,
    signingKeyId: row.signing_key_id,
    issuedAtMs: row.issue_time.getTime(),
    expiresAtMs: row.expire_time.getTime(),
    certificateDer: row.certificate,
    certificateSha256: row.certificate_sha256,
    certificateExpiresAtMs: row.certificate_expire_time.getTime(),
  };
}

/** A row of `trust_events`. */
export interface TrustEventRow {
  readonly sequence: bigint;
  readonly kind: TrustEvent["kind"];
  readonly revocation_kind: number;
  readonly subject: string;
  readonly issued_before: Date | null;
  readonly expire_time: Date;
}

export function toTrustEvent(row: TrustEventRow): TrustEvent {
  const common = { sequence: row.sequence, subject: row.subject, expiresAtMs: row.expire_time.getTime() };
  if (row.kind !== "revocation") return { ...common, kind: row.kind };
  return {
    ...common,
    kind: "revocation",
    revocationKind: row.revocation_kind,
    ...(row.issued_before === null ? {} : { issuedBeforeMs: row.issued_before.getTime() }),
  };
}
