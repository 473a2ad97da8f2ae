import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { ApiKeyLogin, LoginKind, LoginServer } from "./stored-login.ts";

/** API keys of programs. */
export const apiKeyLogin: LoginKind<ApiKeyLogin> = {
  refresh: (login, server) => logInWithKey(login.secret, server),
  end: async () => undefined, // the key is the program's: it ends when it is revoked
};

/** The login of an API key. */
export async function logInWithKey(secret: string, { auth, signal }: LoginServer): Promise<ApiKeyLogin> {
  const { accessToken, expireTime, apiKey } = await auth.exchangeApiKey({ secret }, { signal });
  if (expireTime === undefined || apiKey === undefined) throw new Error("the service answered without a token");
  return { kind: "api-key", name: apiKey.name, secret, accessToken, accessExpiresAtMs: timestampMs(expireTime) };
}
