import { readFileSync } from "node:fs";
import { ConfigError, type ConfigFault } from "@sandgate/config";
import {
  type ForeignKey,
  type ForeignKeySet,
  fetchJson,
  parseKeySetUrl,
  RemoteKeys,
  readForeignKeySet,
} from "@sandgate/identity/remote-keys";

/** The signatures that an issuer may be trusted to make. */
export const tokenAlgorithms = ["EdDSA", "ES256", "RS256"] as const;

export type TokenAlgorithm = (typeof tokenAlgorithms)[number];

/** Where the public keys of an issuer are. */
export interface KeySettings {
  readonly algorithms: readonly TokenAlgorithm[];
  readonly key_files: readonly string[];
  readonly key_set_url?: string | undefined;
  readonly key_set_ca_file?: string | undefined;
}

/** The public keys of an issuer. */
export interface VerifyKeys extends Pick<RemoteKeys<ForeignKey>, "find"> {
  isUsable(): boolean;
  stop(): Promise<void>;
}

/**
 * Opens an issuer's keys: files with a JWK or a JWK set each, or a URL that is read again and again. `path` is where the settings stand in the
 * configuration. Throws ConfigError for a file with a private key, with a key that none of the algorithms can use, or with a kid twice.
 */
export function openVerifyKeys(
  settings: KeySettings,
  deps: { readonly path: string; readonly clock: () => number; readonly onFault: (fault: unknown) => void },
): VerifyKeys {
  const { algorithms, key_files, key_set_url, key_set_ca_file } = settings;
  if (key_set_url === undefined) {
    const keys = readKeyFiles(key_files, algorithms, `${deps.path}.key_files`);
    return {
      find: async (kid) => {
        const key = keys.get(kid);
        return key === undefined ? { outcome: "unknown" } : { outcome: "found", key };
      },
      isUsable: () => true,
      stop: async () => undefined,
    };
  }
  const url = parseKeySetUrl(key_set_url);
  const ca = key_set_ca_file === undefined ? undefined : readFileSync(key_set_ca_file, "utf8");
  const keys = new RemoteKeys<ForeignKey>({
    read: async (signal) => readForeignKeySet(await fetchJson(url, { signal, ca }), algorithms),
    clock: deps.clock,
    onFault: deps.onFault,
    onChange: () => undefined, // each token is verified anew
  });
  keys.start();
  return keys;
}

function readKeyFiles(files: readonly string[], algorithms: readonly TokenAlgorithm[], path: string): ForeignKeySet {
  const found = new Map<string, ForeignKey>();
  const faults: ConfigFault[] = [];
  for (const [index, file] of files.entries()) {
    const fault = addKeys(found, readFileSync(file, "utf8"), algorithms);
    if (fault !== undefined) faults.push({ path: `${path}.${index}`, message: fault });
  }
  if (faults.length > 0) throw new ConfigError(faults);
  return found;
}

function addKeys(
  found: Map<string, ForeignKey>,
  text: string,
  algorithms: readonly TokenAlgorithm[],
): string | undefined {
  const jwks = parseJwks(text);
  if (jwks === undefined) return "holds neither a JWK nor a JWK set";
  if (jwks.some((jwk) => "d" in jwk || "k" in jwk)) return "holds a private or secret key: give the public one";
  if (jwks.some((jwk) => typeof Reflect.get(jwk, "kid") !== "string")) return "holds a key without a kid";
  for (const jwk of jwks) {
    const [[kid, key] = []] = readKey(jwk, algorithms);
    if (kid === undefined || key === undefined) return "holds a key that none of the configured algorithms can use";
    if (found.has(kid)) return "holds a kid that another key has";
    found.set(kid, key);
  }
  return undefined;
}

function readKey(jwk: object, algorithms: readonly TokenAlgorithm[]): ForeignKeySet | readonly [] {
  try {
    return readForeignKeySet({ keys: [jwk] }, algorithms);
  } catch {
    return []; // it throws for a set without a usable key
  }
}

function parseJwks(text: string): readonly object[] | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof parsed !== "object" || parsed === null) return undefined;
  const keys: unknown = "keys" in parsed ? parsed.keys : [parsed];
  if (!Array.isArray(keys) || keys.length === 0) return undefined;
  return keys.every((key): key is object => typeof key === "object" && key !== null && !Array.isArray(key))
    ? keys
    : undefined;
}
