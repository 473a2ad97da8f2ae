import { fetchJson, parseKeySetUrl, RemoteKeys } from "@sandgate/identity/remote-keys";
import { type KeySet, readKeySet, type VerificationKey } from "@sandgate/identity/tokens";
import type { TokenKeys } from "./token-check-options.ts";

/** Where the public keys come from. */
export interface KeySource extends KeySet {
  /** Looks for a key that is not at hand, as often as floods of unknown ids allow; false: that there is none cannot be said now. */
  look(kid: string): Promise<boolean>;
  /** Whether the keys at hand may be used. */
  isUsable(): boolean;
  close(): Promise<void>;
}

/** A source of these keys. Throws TypeError for a set that is none of Sandgate's and for an address that is not to be trusted. */
export function createKeySource(
  keys: TokenKeys,
  deps: {
    readonly clock: () => number;
    readonly onFault: (fault: unknown) => void;
    /** Told that a key is gone or another. */
    readonly onChange: () => void;
  },
): KeySource {
  if ("jwks" in keys) {
    const known = readUsableKeys(keys.jwks);
    return {
      find: (kid) => known.get(kid),
      look: async () => true,
      isUsable: () => true,
      close: async () => undefined,
    };
  }
  const url = parseKeySetUrl(keys.url);
  const remote = new RemoteKeys<VerificationKey>({
    ...deps,
    read: async (signal) => readUsableKeys(await fetchJson(url, { signal, ca: keys.ca })),
  });
  remote.start();
  return {
    find: (kid) => remote.recall(kid),
    look: async (kid) => (await remote.find(kid)).outcome !== "unavailable",
    isUsable: () => remote.isUsable(),
    close: () => remote.stop(),
  };
}

function readUsableKeys(jwks: unknown): ReadonlyMap<string, VerificationKey> {
  const keys = readKeySet(jwks);
  if (![...keys.values()].some(({ algorithm }) => algorithm === "ES256"))
    throw new TypeError("the JWK set has no P-256 key");
  return keys;
}
