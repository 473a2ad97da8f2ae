import { createHmac, createPublicKey, generateKeyPairSync } from "node:crypto";
import type { Socket } from "node:net";
import { createTokenSigner, createWorkloadSigner, mintToken, mintWorkloadToken } from "@sandgate/identity/tokens";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import {
  type Answer,
  audience,
  type ClientIdentity,
  call,
  certify,
  claims,
  container,
  forge,
  issuer,
  jwks,
  jwksOf,
  mint,
  now,
  other,
  type Service,
  serve,
  serverCa,
  sessionToken,
  styles,
  trustDomain,
} from "./middleware-bench.fixture.ts";
import { createTokenCheck, type TokenCheck } from "./token-check.ts";
import type { TokenCheckOptions } from "./token-check-options.ts";

const missing = { status: 401, challenge: 'Bearer realm="sandbox-api"', body: { error: "Missing token" } };
const challengeOf = (description: string) =>
  `Bearer realm="sandbox-api", error="invalid_token", error_description="${description}"`;
const invalid = {
  status: 401,
  challenge: challengeOf("the token is not valid here"),
  body: { error: "Invalid token" },
};
const expired = { status: 401, challenge: challengeOf("the token has expired"), body: { error: "Token expired" } };
const mismatch = {
  status: 403,
  challenge: challengeOf("the token is bound to another container"),
  body: { error: "Container ID mismatch" },
};
const undecided = { status: 503, challenge: undefined, body: { error: "Token cannot be checked now" } };
const accepted = { status: 200, challenge: undefined, body: expect.objectContaining({ containerId: container }) };

const options: TokenCheckOptions = { issuer, audience, keys: { jwks } };
const byHeader: TokenCheckOptions = { ...options, binding: { by: "compatible-header" } };
const bearer = (token: string) => ["Authorization", `Bearer ${token}`] as const;
const unbound = { enforceContainerBinding: false } as const;
const seconds = now / 1000;

let own: ClientIdentity;
let renewed: ClientIdentity;
let foreign: ClientIdentity;
let confirmed: { byKey: string; byCertificate: string };
beforeAll(async () => {
  own = await certify();
  renewed = await certify(container, own);
  foreign = await certify(container);
  confirmed = {
    byKey: await mint({ confirmation: { kind: "key", thumbprint: own.thumbprint } }),
    byCertificate: await mint({ confirmation: { kind: "certificate", sha256: own.sha256 } }),
  };
});

describe.each(["Node", "Fetch"] as const)("in %s style", (style) => {
  const services: Service[] = [];
  const checks: TokenCheck[] = [];
  afterAll(async () => {
    for (const service of services) await service.close();
    for (const check of checks) await check.close();
  });
  const start = async (of: TokenCheckOptions): Promise<Service> => {
    const check = createTokenCheck(of);
    const service = await serve(styles[style](check), { tls: true });
    checks.push(check);
    services.push(service);
    return service;
  };
  let plain: Service;
  let compatible: Service;
  let channels: Service;
  beforeAll(async () => {
    plain = await start(options);
    compatible = await start(byHeader);
    channels = await start({
      ...options,
      binding: {
        by: "channel",
        containerOf: (socket: Socket) => (socket.remotePort === undefined ? other : container),
      },
    });
  });

  it("S0-15 gives the handler what the token says", async () => {
    const answer = await call(plain, [bearer(confirmed.byKey)], own);
    const { kind: _, sandboxId: __, confirmation: ___, ...rest } = claims;
    expect(answer).toEqual({
      status: 200,
      challenge: undefined,
      body: { ...rest, containerId: container, incarnation: 3 },
    });
  });

  it.each<[string, readonly (readonly [string, string])[], Answer]>([
    ["S0-10 no header", [], missing],
    ["S0-10 another scheme", [["Authorization", "Basic dXNlcjpwYXNz"]], missing],
    ["S0-10 another scheme with commas", [["Authorization", 'Digest username="x", realm="y"']], missing],
    ["S0-10 a scheme that begins like ours", [["Authorization", "Bearerx a.b.c"]], missing],
    ["S0-10 the scheme alone", [["Authorization", "Bearer"]], missing],
    ["S0-10 the scheme and spaces", [["Authorization", "Bearer   "]], missing],
    ["S0-10 an empty header", [["Authorization", ""]], missing],
    ["S0-10 the token in another header", [["X-Authorization", "Bearer a.b.c"]], missing],
    ["S0-12 no token", [["Authorization", "Bearer nonsense"]], invalid],
    ["S0-12 three words", [["Authorization", "Bearer a.b.c d"]], invalid],
    ["S0-12 an encrypted token's five parts", [["Authorization", "Bearer a.b.c.d.e"]], invalid],
    ["S0-12 parts that are no JSON", [["Authorization", "Bearer a.b.c"]], invalid],
    [
      "S0-12 12 KiB",
      [["Authorization", `Bearer ${"a".repeat(4096)}.${"b".repeat(4096)}.${"c".repeat(4096)}`]],
      invalid,
    ],
  ])("%s", async (_name, lines, answer) => {
    expect(await call(plain, lines)).toEqual(answer);
  });

  it("D-11 takes the scheme in any case, and more than one space", async () => {
    const token = await mint(unbound);
    for (const line of [`bearer ${token}`, `BEARER ${token}`, `Bearer   ${token}`])
      expect(await call(plain, [["Authorization", line]])).toEqual(accepted);
  });

  it("D-11 refuses a header that was sent twice, whichever of the two is good", async () => {
    const good = bearer(await mint(unbound));
    const bad = ["authorization", "Bearer a.b.c"] as const;
    for (const lines of [
      [good, good],
      [good, bad],
      [bad, good],
      [good, ["authorization", "Basic dXNlcjpwYXNz"] as const],
    ])
      expect(await call(plain, lines)).toEqual(invalid);
    expect(await call(plain, [["authorization", "Basic dXNlcjpwYXNz"], good])).toEqual(missing);
    expect(await call(compatible, [bearer(await mint()), ["x-container-id", container], ["X-Container-ID", container]]))
      .toEqual(mismatch); // biome-ignore format: one line each
  });

  it("S0-11 says that a token has expired, five seconds of skew allowed for", async () => {
    const aged = (agoMs: number) => mint({ ...unbound, issuedAtMs: now - 600_000, expiresAtMs: now - agoMs });
    expect(await call(plain, [bearer(await aged(60_000))])).toEqual(expired);
    expect(await call(plain, [bearer(await forge({ payload: { exp: seconds - 60, iat: seconds - 99 } }))])).toEqual(
      expired,
    );
  });

  it.each<[string, { readonly header?: object; readonly payload?: object }]>([
    ["D-01 another issuer", { payload: { iss: "secure-egress-control" } }],
    ["D-02 no audience", { payload: { aud: undefined } }],
    ["D-02 the proxy's audience", { payload: { aud: "egress-proxy" } }],
    ["D-02 a list of audiences", { payload: { aud: [audience, "egress-proxy"] } }],
    ["D-03 an unknown kid", { header: { kid: "k".repeat(43) } }],
    ["D-03 no kid", { header: { kid: undefined } }],
    ["D-04 no exp", { payload: { exp: undefined } }],
    ["D-04 no iat", { payload: { iat: undefined } }],
    ["D-04 no nbf", { payload: { nbf: undefined } }],
    ["D-04 no jti", { payload: { jti: undefined } }],
    ["D-04 no sub", { payload: { sub: undefined } }],
    ["D-04 a life of more than four hours", { payload: { exp: seconds + 4 * 3600 + 1 } }],
    ["D-04 not yet", { payload: { nbf: seconds + 60 } }],
    ["D-05 an organization that is no UUID", { payload: { organization_uuid: "user_123" } }],
    ['D-06 a flag "True"', { payload: { enforce_container_binding: "True" } }],
    ["D-06 a flag 0", { payload: { enforce_container_binding: 0 } }],
    ["D-07 a confirmation that nobody checks", { payload: { cnf: { jwk: {} } } }],
    ["S0-12 alg none", { header: { alg: "none" } }],
    ["S0-12 a critical extension", { header: { crit: ["exp"] } }],
    ["S0-12 a key of its own", { header: { jwk: {} } }],
  ])("refuses %s", async (_name, over) => {
    expect(await call(compatible, [bearer(await forge(over)), ["X-Container-ID", container]])).toEqual(invalid);
  });

  it("S0-08, S0-12 refuses changed claims, other keys and other algorithms", async () => {
    const [header = "", payload = "", signature = ""] = (await mint(unbound)).split(".");
    const [, elsewhere] = (await mint({ ...unbound, sandboxId: other })).split(".");
    const stranger = createTokenSigner(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
    const key = createPublicKey({ key: Object(jwks).keys[0], format: "jwk" }).export({ type: "spki", format: "pem" });
    const asHmac = Buffer.from(JSON.stringify({ typ: "JWT", alg: "HS256", kid: Object(jwks).keys[0].kid }));
    const input = `${asHmac.toString("base64url")}.${payload}`;
    for (const token of [
      `${header}.${elsewhere}.${signature}`,
      `${input}.${createHmac("sha256", key).update(input).digest("base64url")}`,
      await mintToken({ signer: stranger, trustDomain, claims }),
    ])
      expect(await call(plain, [bearer(token)])).toEqual(invalid);
  });

  it("D-02, D-08 takes no token of another kind, though the same set has its key", async () => {
    const workload = createWorkloadSigner(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
    const token = await mintWorkloadToken({
      signer: workload,
      trustDomain,
      claims: { ...claims, expiresAtMs: now + 300_000 },
    });
    const federated = await start({ ...options, keys: { jwks: jwksOf(createPublicKey(workload.privateKey)) } });
    expect(await call(federated, [bearer(token)])).toEqual(invalid);
    expect(await call(plain, [bearer(await sessionToken())])).toEqual(invalid);
  });

  describe("D-07 a token that names its holder", () => {
    it.each<[string, "byKey" | "byCertificate", () => ClientIdentity | undefined, Answer]>([
      ["a key, from its certificate", "byKey", () => own, accepted],
      ["a key, from a new certificate of it", "byKey", () => renewed, accepted],
      ["a key, from another key of the same container", "byKey", () => foreign, mismatch],
      ["a key, without a certificate", "byKey", () => undefined, mismatch],
      ["a certificate, from it", "byCertificate", () => own, accepted],
      ["a certificate, from another of the same key", "byCertificate", () => renewed, mismatch],
      ["a certificate, without one", "byCertificate", () => undefined, mismatch],
    ])("%s", async (_name, token, identity, answer) => {
      for (const service of [plain, channels])
        expect(await call(service, [bearer(confirmed[token])], identity())).toEqual(answer);
      const named = [bearer(confirmed[token]), ["X-Container-ID", container]] as const;
      expect(await call(compatible, named, identity())).toEqual(answer);
    });

    it("G-16 is refused from another connection also when it was taken a moment ago", async () => {
      expect(await call(plain, [bearer(confirmed.byKey)], own)).toEqual(accepted);
      expect(await call(plain, [bearer(confirmed.byKey)], foreign)).toEqual(mismatch);
    });
  });

  it("D-07, S0-13 takes a token that names no holder on no connection's word, unless it is told whose the connection is", async () => {
    const token = await mint();
    expect(await call(plain, [bearer(token)], own)).toEqual(mismatch);
    expect(await call(channels, [bearer(token)])).toEqual(accepted);
    expect(await call(channels, [bearer(await mint({ sandboxId: other }))])).toEqual(mismatch);
    expect(await call(channels, [bearer(await mint({ sandboxId: other })), ["X-Container-ID", other]])).toEqual(
      mismatch,
    );
  });

  it("S0-13 refuses every container where the host knows none", async () => {
    const service = await start({ ...options, binding: { by: "channel", containerOf: () => undefined } });
    expect(await call(service, [bearer(await mint())])).toEqual(mismatch);
  });

  it("S0-13 compares X-Container-ID in the compatible mode", async () => {
    const token = await mint();
    const named = (id: string) => [bearer(token), ["X-Container-ID", id] as const];
    expect(await call(compatible, named(container))).toEqual(accepted);
    for (const id of [other, container.toUpperCase(), `${container}x`, ""])
      expect(await call(compatible, named(id))).toEqual(mismatch);
    expect(await call(compatible, [bearer(token)])).toEqual(mismatch);
  });

  it("D-07 reads X-Container-ID in no other mode", async () => {
    expect(await call(plain, [bearer(await mint()), ["X-Container-ID", container]])).toEqual(mismatch);
    expect(await call(plain, [bearer(await mint(unbound)), ["X-Container-ID", other]])).toEqual(accepted);
  });

  it("S0-14 needs no proof of the container where the token demands none", async () => {
    for (const service of [plain, compatible, channels])
      expect(await call(service, [bearer(await mint(unbound))])).toEqual(accepted);
  });

  it("D-06 demands it where the token says nothing of it, and takes the flag as text and as it is", async () => {
    const flagged = async (flag: unknown) =>
      (await call(plain, [bearer(await forge({ payload: { enforce_container_binding: flag } }))])).status;
    expect(await flagged(undefined)).toBe(403);
    expect([await flagged("true"), await flagged(true)]).toEqual([403, 403]);
    expect([await flagged("false"), await flagged(false)]).toEqual([200, 200]);
  });

  it("D-10 refuses a token that the host knows to be revoked, from the call on at which it knows", async () => {
    const revoked = new Set<string>();
    const service = await start({ ...options, isRevoked: ({ tokenId }) => revoked.has(tokenId) });
    const token = await mint(unbound);
    expect(await call(service, [bearer(token)])).toEqual(accepted);
    revoked.add(claims.tokenId);
    expect(await call(service, [bearer(token)])).toEqual(invalid);
  });

  it.each<[string, Partial<TokenCheckOptions>]>([
    ["whether it was revoked", { isRevoked: () => Promise.reject(new Error("away")) }],
    ["whose the connection is", { binding: { by: "channel", containerOf: () => Promise.reject(new Error("away")) } }],
    [
      "what certificate it has",
      {
        certificateOf: () => {
          throw new Error("broken");
        },
      },
    ],
  ])("lets nobody in while the host cannot say %s", async (_name, over) => {
    const faults: unknown[] = [];
    const service = await start({ ...options, ...over, onFault: (fault) => faults.push(fault) });
    expect(await call(service, [bearer(await mint("binding" in over ? {} : unbound))])).toEqual(undecided);
    expect(faults).toHaveLength(1);
  });
});

describe("keys over the network", () => {
  const startKeys = async (of: { json: string; status: number }) => {
    let reads = 0;
    const service = await serve(
      (_request, response) => {
        reads += 1;
        response.writeHead(of.status, { "content-type": "application/json" }).end(of.json);
      },
      { tls: true },
    );
    onTestFinished(() => service.close());
    return { url: `https://127.0.0.1:${service.port}/.well-known/jwks.json`, reads: () => reads };
  };
  const judge = async (check: TokenCheck<undefined>, token: string) => {
    const verdict = await check.judge({ authorization: `Bearer ${token}`, containerId: undefined }, undefined);
    return verdict.outcome === "accepted" ? verdict.token.containerId : verdict.refusal.status;
  };
  const open = (url: string, over: Partial<TokenCheckOptions<undefined>> & { readonly ca?: string } = {}) => {
    const { ca = serverCa, ...rest } = over;
    const check = createTokenCheck<undefined>({ issuer, audience, keys: { url, ca }, ...rest });
    onTestFinished(() => check.close());
    return check;
  };
  const published = JSON.stringify(jwks);

  it("are read once, by whoever asks first and for all who wait", async () => {
    const keys = await startKeys({ json: published, status: 200 });
    const check = open(keys.url);
    const token = await mint(unbound);
    expect(await Promise.all(Array.from({ length: 50 }, () => judge(check, token)))).toEqual(Array(50).fill(container));
    expect(keys.reads()).toBe(1);
  });

  it("G-04 cannot be had fetched by a flood of unknown kids", async () => {
    const keys = await startKeys({ json: published, status: 200 });
    const check = open(keys.url);
    expect(await judge(check, await mint(unbound))).toBe(container);
    const before = keys.reads();
    for (let index = 0; index < 2_000; index += 1) {
      const header = Buffer.from(JSON.stringify({ typ: "JWT", alg: "ES256", kid: `kid-${index}` }));
      expect(await judge(check, `${header.toString("base64url")}.e30.AA`)).toBe(401);
    }
    expect(keys.reads()).toBe(before);
  });

  it("D-03 that are new are found with the first token that they signed, and end with what was taken by them", async () => {
    const first = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const second = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const mintBy = (privateKey: typeof first.privateKey) =>
      mintToken({ signer: createTokenSigner(privateKey), trustDomain, claims: { ...claims, ...unbound } });
    const answer = { json: JSON.stringify(jwksOf(first.publicKey)), status: 200 };
    const clock = { now };
    const check = open((await startKeys(answer)).url, { clock: () => clock.now });
    const token = await mintBy(first.privateKey);
    expect(await judge(check, token)).toBe(container);
    answer.json = JSON.stringify(jwksOf(second.publicKey));
    clock.now += 10_000;
    expect(await judge(check, await mintBy(second.privateKey))).toBe(container);
    expect(await judge(check, token)).toBe(401);
  });

  it.each([
    ["an error", { json: published, status: 500 }],
    ["no JSON", { json: "<html>", status: 200 }],
    ["no key of ours", { json: '{"keys":[]}', status: 200 }],
    ["a private key", { json: JSON.stringify({ keys: [{ ...Object(jwks).keys[0], d: "AA" }] }), status: 200 }],
    ["a redirect", { json: published, status: 302 }],
  ])("let nobody in while their owner answers %s", async (_name, answer) => {
    const faults: unknown[] = [];
    const check = open((await startKeys(answer)).url, { onFault: (fault) => faults.push(fault) });
    expect(await judge(check, await mint(unbound))).toBe(503);
    expect(faults).toHaveLength(1);
  });

  it("let nobody in where another answers than the authorities vouch for", async () => {
    const keys = await startKeys({ json: published, status: 200 });
    const check = createTokenCheck<undefined>({ issuer, audience, keys: { url: keys.url } });
    onTestFinished(() => check.close());
    expect(await judge(check, await mint(unbound))).toBe(503);
    expect(keys.reads()).toBe(0);
  });
});

describe("refuses to start with", () => {
  it.each<[string, Partial<TokenCheckOptions>]>([
    ["no audience", { audience: "" }],
    ["an issuer that is not ours", { issuer: "secure-egress-control" }],
    ["an issuer with a path", { issuer: `${issuer}/` }],
    ["keys over plain http from elsewhere", { keys: { url: "http://auth.sandgate.test/.well-known/jwks.json" } }],
    ["keys from a file's address", { keys: { url: "file:///etc/keys.json" } }],
    ["a set without keys", { keys: { jwks: { keys: [] } } }],
    ["what is no set", { keys: { jwks: [] } }],
    ["a realm that ends its quotes", { realm: 'x", error="' }],
  ])("%s", (_name, over) => {
    expect(() => createTokenCheck({ ...options, ...over })).toThrow(TypeError);
  });
});
