import { generateKeyPairSync } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { WatchTrustResponseSchema } from "@sandgate/api/auth";
import { Role } from "@sandgate/api/options";
import type { Call, Connection } from "@sandgate/rpc";
import { beforeEach, expect, it, vi } from "vitest";
import { createTokenSigner, formatJwks, mintToken } from "../tokens/index.ts";
import type { SubjectRegister } from "../trust/subject-register.ts";
import { TrustState } from "../trust/trust-state.ts";
import { BearerTokens } from "./bearer-tokens.ts";

const trustDomain = "sandgate.test";
const start = Date.parse("2026-03-01T12:00:00Z");
const { privateKey, publicKey } = generateKeyPairSync("ed25519");
const good = await mintToken({
  signer: createTokenSigner(privateKey),
  trustDomain,
  claims: {
    kind: "user",
    userId: "0b8f8c0e-1111-4222-8333-444455556666",
    organizationId: "6f1c9d1e-7d0a-4b0e-9a53-0d7d2b9d0c11",
    role: Role.VIEWER,
    tokenId: "t".repeat(43),
    issuedAtMs: start,
    expiresAtMs: start + 600_000,
  },
});
const bad = `${good.slice(0, good.lastIndexOf("."))}.${"A".repeat(86)}`;

let now: number;
let tokens: BearerTokens<"user">;
const findKey = vi.fn();

beforeEach(() => {
  now = start;
  const trust = new TrustState({ clock: () => now });
  trust.apply(
    create(WatchTrustResponseSchema, {
      sequence: 1n,
      change: { case: "snapshot", value: { signingKeys: { jwksJson: formatJwks([publicKey]) } } },
    }),
  );
  const find = trust.find.bind(trust);
  trust.find = findKey.mockReset().mockImplementation(find);
  tokens = new BearerTokens("user", { trust, register: {} as SubjectRegister, trustDomain, clock: () => now });
});

const connect = (): Connection => ({ transport: "tcp", remoteAddress: "", drain: () => {}, onClose: () => {} });
const read = async (token: string, connection: Connection): Promise<string> => {
  try {
    const call = { connection, header: () => `Bearer ${token}` } as unknown as Call; // what is asked of a call
    return (await tokens.read(call))?.outcome ?? "none";
  } catch (thrown) {
    return (thrown as { reason: string }).reason;
  }
};

it("looks at 20 bad tokens a second of one connection, and at no more", async () => {
  const connection = connect();
  const outcomes: string[] = [];
  for (let count = 0; count < 25; count++) outcomes.push(await read(bad, connection));
  expect(outcomes).toEqual([...Array(20).fill("CREDENTIAL_REJECTED"), ...Array(5).fill("LIMIT_REACHED")]);
  expect(findKey).toHaveBeenCalledTimes(20);
});

it("lets others go on, and the connection itself a second later", async () => {
  const connection = connect();
  const other = connect();
  expect(await read(good, other)).toBe("verified");
  for (let count = 0; count < 25; count++) await read(bad, connection);
  expect([await read(good, other), await read(good, connect())]).toEqual(["verified", "verified"]);
  now += 1_000;
  expect(await read(bad, connection)).toBe("CREDENTIAL_REJECTED");
});

it("counts no token of somebody else", async () => {
  const connection = connect();
  const foreign = `${Buffer.from('{"kid":"another"}').toString("base64url")}.e30.AA`;
  for (let count = 0; count < 25; count++) expect(await read(foreign, connection)).toBe("none");
  expect(await read(good, connection)).toBe("verified");
});

it("accepts nothing without current revocation data, a remembered token neither", async () => {
  const connection = connect();
  expect(await read(good, connection)).toBe("verified");
  now += 10_001;
  expect(await read(good, connection)).toBe("TRUST_UNAVAILABLE");
});
