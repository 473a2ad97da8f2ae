import { randomUUID } from "node:crypto";
import type { Invitation } from "../domain/user-account.ts";
import { hashSecretToken, newSecretToken } from "./secret-token.ts";

/** An invitation yet to be kept, and its token, which is not. */
export function newInvitation(
  about: Pick<Invitation, "organizationId" | "login" | "role" | "inviterUserId">,
  times: { readonly now: number; readonly lifeMs: number },
): { readonly token: string; readonly invitation: Omit<Invitation, "userId"> & { readonly tokenHash: Uint8Array } } {
  const token = newSecretToken("sgi");
  const tokenHash = hashSecretToken("sgi", token);
  if (tokenHash === undefined) throw new Error("a new secret does not have its own checksum");
  const { now, lifeMs } = times;
  return { token, invitation: { ...about, id: randomUUID(), tokenHash, createdAtMs: now, expiresAtMs: now + lifeMs } };
}
