import { compactVerify, errors } from "jose";
import { MAX_TOKEN_LENGTH } from "../tokens/index.ts";
import type { ForeignAlgorithm, ForeignKey } from "./foreign-key-set.ts";
import type { RemoteKeys } from "./remote-keys.ts";

/** Somebody else's JWT, taken apart. Nothing in it is verified. */
export interface ForeignJwt {
  readonly token: string;
  readonly header: Readonly<Record<string, unknown>>;
  readonly payload: Readonly<Record<string, unknown>>;
}

/** Why somebody else's signature does not count. */
export type ForeignJwtFault = "header" | "algorithm" | "key" | "signature";

/** Takes a JWT apart (RFC 7515, compact). Undefined for what is none, and for anything longer than 8192 characters. */
export function parseForeignJwt(token: string): ForeignJwt | undefined {
  if (token.length > MAX_TOKEN_LENGTH) return undefined;
  const [, header = "", payload = ""] = /^([\w-]+)\.([\w-]+)\.[\w-]+$/.exec(token) ?? [];
  const parsed = { header: parseRecord(header), payload: parseRecord(payload) };
  return parsed.header === undefined || parsed.payload === undefined
    ? undefined
    : { token, header: parsed.header, payload: parsed.payload };
}

/** Why a JWT is not signed by one of these keys with one of these algorithms; "unavailable" when its key cannot be had now; undefined if it is. */
export async function findSignatureFault(
  { token, header }: ForeignJwt,
  by: { readonly algorithms: readonly ForeignAlgorithm[]; readonly keys: Pick<RemoteKeys<ForeignKey>, "find"> },
): Promise<ForeignJwtFault | "unavailable" | undefined> {
  const { alg, kid, typ } = header;
  if (typeof kid !== "string" || !isTypeOfBearer(typ) || "crit" in header) return "header";
  const algorithm = by.algorithms.find((name) => name === alg);
  if (algorithm === undefined) return "algorithm";
  const lookup = await by.keys.find(kid);
  if (lookup.outcome === "unavailable") return "unavailable";
  if (lookup.outcome === "unknown") return "key";
  if (!lookup.key.algorithms.has(algorithm)) return "algorithm";
  return (await isSigned(token, lookup.key, algorithm)) ? undefined : "signature";
}

function parseRecord(base64url: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(base64url, "base64url").toString("utf8"));
    if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) return undefined;
    return parsed as Record<string, unknown>; // a JSON object has string keys
  } catch {
    return undefined;
  }
}

/** Access tokens (RFC 9068) and ID tokens; a logout token or a security event is signed by the same keys and is no credential. */
function isTypeOfBearer(type: unknown): boolean {
  return type === undefined || (typeof type === "string" && /^(application\/)?(at\+)?jwt$/i.test(type));
}

async function isSigned(token: string, { key }: ForeignKey, algorithm: ForeignAlgorithm): Promise<boolean> {
  try {
    await compactVerify(token, key, { algorithms: [algorithm] });
    return true;
  } catch (cause) {
    if (cause instanceof errors.JOSEError) return false;
    throw cause;
  }
}
