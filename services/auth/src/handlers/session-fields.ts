import type { SubjectRegister } from "@sandgate/identity";
import { ServiceError } from "@sandgate/rpc";

/** A jti of ours. Throws REQUEST_INVALID. */
export function requireTokenId(tokenId: string): string {
  if (!/^[A-Za-z0-9_-]{43}$/.test(tokenId))
    throw new ServiceError("REQUEST_INVALID", "a token id is 43 characters of base64url", { field: "token_id" });
  return tokenId;
}

/** A user id. Throws REQUEST_INVALID. */
export function requireUserId(userId: string): string {
  if (!/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(userId))
    throw new ServiceError("REQUEST_INVALID", "a user id is a lower-case uuid", { field: "user_id" });
  return userId;
}

/** The id of a sandbox of the organization, by id or by living name. Throws SANDBOX_NOT_FOUND, for another organization's too (G-25). */
export async function requireSandboxOf(
  organizationId: string,
  sandbox: string,
  register: Pick<SubjectRegister, "findSandbox" | "findSandboxByName">,
): Promise<string> {
  const subject = /^sbx-[a-z2-7]{20}$/.test(sandbox)
    ? await register.findSandbox(sandbox)
    : /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(sandbox)
      ? await register.findSandboxByName(organizationId, sandbox)
      : undefined;
  if (subject === undefined || subject.organizationId !== organizationId)
    throw new ServiceError("SANDBOX_NOT_FOUND", "no such sandbox");
  return subject.sandboxId;
}
