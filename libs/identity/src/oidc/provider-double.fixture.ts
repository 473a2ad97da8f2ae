import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { SignJWT } from "jose";
import type { ForeignAlgorithm } from "./foreign-key-set.ts";

/** What only a double can do: a provider that answers what it should not. The real one is in test/integration/oidc. */
export interface ProviderDouble {
  readonly issuer: string;
  /** The paths that were asked for, in their order. */
  readonly asked: string[];
  /** Answers a path in its own way. */
  answer: (path: string, response: ServerResponse, request: IncomingMessage) => boolean;
  /** Puts a new key of the algorithm's kind into the set. */
  addKey(kid: string, algorithm: ForeignAlgorithm): KeyObject;
  removeKey(kid: string): void;
  /** A token of a user, signed by the key; `undefined` takes a claim out. */
  token(claims?: Readonly<Record<string, unknown>>, header?: Readonly<Record<string, unknown>>): Promise<string>;
  stop(): Promise<void>;
}

/** Starts a provider on a loopback address that has the key "rsa" (RS256) and signs with it. */
export async function startProviderDouble(options: { readonly clock: () => number }): Promise<ProviderDouble> {
  const keys = new Map<string, { readonly privateKey: KeyObject; readonly jwk: object }>();
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const path = request.url ?? "";
    asked.push(path);
    if (double.answer(path, response, request)) return;
    response.setHeader("content-type", "application/json");
    const body =
      path === "/.well-known/openid-configuration"
        ? { issuer: double.issuer, jwks_uri: `${double.issuer}/jwks` }
        : { keys: [...keys.values()].map(({ jwk }) => jwk) };
    response.end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // a TCP server that listens has one
  const issuer = `http://127.0.0.1:${port}`;
  const double: ProviderDouble = {
    issuer,
    asked,
    answer: () => false,
    addKey: (kid, algorithm) => {
      const { privateKey, publicKey } = keyPairOf(kid, algorithm);
      keys.set(kid, { privateKey, jwk: { ...publicKey.export({ format: "jwk" }), kid, use: "sig", alg: algorithm } });
      return privateKey;
    },
    removeKey: (kid) => void keys.delete(kid),
    token: (claims = {}, header = {}) => {
      const now = Math.floor(options.clock() / 1000);
      const all = { iss: issuer, aud: "sandgate", sub: "ada", iat: now, exp: now + 300, ...claims };
      const { kid = "rsa", alg = "RS256" } = header;
      const key = keys.get(String(kid));
      if (key === undefined) throw new TypeError("no such key");
      return new SignJWT(all)
        .setProtectedHeader({ ...header, kid: String(kid), alg: String(alg) })
        .sign(key.privateKey);
    },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  double.addKey("rsa", "RS256");
  return double;
}

const made = new Map<string, ReturnType<typeof newKeyPair>>();

/** Keys of RSA take their time: one for each name is enough for all the tests of a file. */
function keyPairOf(kid: string, algorithm: ForeignAlgorithm) {
  const name = `${kid}/${algorithm}`;
  const pair = made.get(name) ?? newKeyPair(algorithm);
  made.set(name, pair);
  return pair;
}

function newKeyPair(algorithm: ForeignAlgorithm) {
  if (algorithm === "EdDSA") return generateKeyPairSync("ed25519");
  const curve = { ES256: "P-256", ES384: "P-384", ES512: "P-521" }[algorithm as string];
  return curve === undefined
    ? generateKeyPairSync("rsa", { modulusLength: 2048 })
    : generateKeyPairSync("ec", { namedCurve: curve });
}
