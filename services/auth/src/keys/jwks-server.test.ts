import { mkdtemp, readFile, rm } from "node:fs/promises";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { formatJwks } from "@sandgate/identity";
import { createKeyPair } from "@sandgate/pki";
import { createDevelopmentPki, type DevelopmentPki } from "@sandgate/pki/authority";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type JwksServer, JwksServerError, startJwksServer } from "./jwks-server.ts";

const jwksJson = formatJwks([createKeyPair().publicKey]);
let directory: string;
let pki: DevelopmentPki;
let server: JwksServer;

const startAt = (address: string) =>
  startJwksServer({
    address,
    ...pki.services.auth,
    trustDomain: "sandgate.test",
    jwksJson: () => jwksJson,
    onFault: (fault) => {
      throw fault;
    },
  });

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "jwks-"));
  pki = await createDevelopmentPki({
    directory,
    trustDomain: "sandgate.test",
    operatorUserId: "0b8f8c0e-1111-4222-8333-444455556666",
  });
  server = await startAt("127.0.0.1:0");
});
afterAll(async () => {
  await server.stop();
  await rm(directory, { recursive: true });
});

async function ask(path: string, method = "GET") {
  const ca = await readFile(pki.serviceAuthority.certificateFile);
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number | undefined; body: string }>();
  request(
    `https://${server.address}${path}`,
    { ca, method, servername: "auth.sandgate.test", agent: false },
    (response) => {
      text(response).then((body) => resolve({ status: response.statusCode, body }), reject);
    },
  )
    .on("error", reject)
    .end();
  return promise;
}

describe("the key set server", () => {
  it("D-03 serves the public keys and nothing private", async () => {
    const { status, body } = await ask("/.well-known/jwks.json");
    expect(status).toBe(200);
    expect(body).toBe(jwksJson);
    expect(JSON.parse(body).keys.some((key: object) => "d" in key)).toBe(false);
  });

  it("serves a discovery document that names the issuer of our tokens", async () => {
    const { body } = await ask("/.well-known/openid-configuration");
    expect(JSON.parse(body)).toMatchObject({
      issuer: "https://auth.sandgate.test",
      jwks_uri: "https://auth.sandgate.test/.well-known/jwks.json",
    });
  });

  it.each([
    ["/", "GET", 404],
    ["/.well-known/jwks.json?x", "GET", 404],
    ["/.well-known/jwks.json", "POST", 405],
    ["/.well-known/jwks.json", "HEAD", 200],
  ])("answers %s by %s with %d", async (path, method, expected) => {
    expect((await ask(path, method)).status).toBe(expected);
  });

  it("refuses an address that is taken", async () => {
    await expect(startAt(server.address)).rejects.toThrow(JwksServerError);
  });
});
