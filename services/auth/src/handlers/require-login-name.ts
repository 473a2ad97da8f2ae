import { ServiceError } from "@sandgate/rpc";
import { parseLoginName } from "../domain/login-name.ts";

/** The login name that a field means for a new account. Throws REQUEST_INVALID for what is none. */
export function requireLoginName(text: string, field: "login" | "admin_login"): string {
  const login = parseLoginName(text);
  // users are named by id or by login name: the two must not be mistaken
  if (login === undefined || /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(login))
    throw new ServiceError("REQUEST_INVALID", "this is no login name", { field });
  return login;
}
