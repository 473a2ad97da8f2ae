import { ServiceError } from "@sandgate/rpc";
import { isUserName } from "../domain/user-name.ts";

/** The name in a field, in NFC; empty where there may be none. Throws REQUEST_INVALID for what can be nobody's. */
export function requireName(text: string, options: { readonly field: string; readonly mayBeEmpty: boolean }): string {
  const name = text.length > 1_000 ? "\n" : text.normalize("NFC").trim();
  if (isUserName(name) || (name === "" && options.mayBeEmpty)) return name;
  throw new ServiceError("REQUEST_INVALID", "a name has 1 to 100 characters, all printable", { field: options.field });
}
