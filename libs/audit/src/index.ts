export { auditEventsSql } from "./audit-events-sql.ts";
export { AuditLog, type AuditPage, type ListAuditEventsQuery } from "./audit-log.ts";
export { AuditPageTokenError } from "./audit-page-token.ts";
export type { AuditRecord } from "./audit-record.ts";
export { AuditUnavailableError } from "./group-commit.ts";
export type { AuditSqlClient } from "./sql-client.ts";
export { isAuditHead, toVerificationOutcome } from "./verification-outcome.ts";
export type { AuditHead, AuditVerification } from "./verify-audit-log.ts";
