import type { Call } from "@sandgate/rpc";
import type { Principal } from "../principal.ts";

/**
 * Recognizes one kind of credential. Answers undefined when the call carries none of that kind (the next one is asked), a
 * principal when it does, and throws a ServiceError when it does but the credential is bad: then nobody else is asked.
 */
export interface Authenticator {
  readonly name: string;
  authenticate(call: Call): Promise<Principal | undefined>;
}

/** The token of an `authorization: Bearer` header (RFC 6750); undefined when there is none. */
export function bearerToken(call: Call): string | undefined {
  const header = call.header("authorization");
  if (header === undefined || header.slice(0, 7).toLowerCase() !== "bearer ") return undefined;
  const token = header.slice(7).trim();
  return token === "" ? undefined : token;
}
