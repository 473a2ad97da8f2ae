import { ServiceError } from "@sandgate/rpc";
import { findPasswordFault, normalizePassword } from "../domain/password-rules.ts";

/** The password as it is hashed. Throws PASSWORD_UNACCEPTABLE for one that cannot be chosen for the account. */
export function requireAcceptablePassword(text: string, login: string): string {
  const fault = findPasswordFault(text, login);
  const password = normalizePassword(text);
  if (fault !== undefined || password === undefined)
    throw new ServiceError("PASSWORD_UNACCEPTABLE", "the password cannot be chosen", { fault: fault ?? "too_long" });
  return password;
}
