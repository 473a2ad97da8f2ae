import { SigningKeyState } from "@sandgate/api/auth";
import { Role } from "@sandgate/api/options";
import { createKeySet, verifyToken } from "@sandgate/identity";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import {
  type AuthBench,
  enrol,
  operator,
  organizationId,
  reasonOf,
  registerSandbox,
  startAuthBench,
  trustDomain,
} from "../auth-bench.contract.ts";

const tenMinutes = 600_000;
const admin = { ...operator, role: Role.ADMIN };

let bench: AuthBench;
let replica: AuthBench;
beforeAll(async () => {
  bench = await startAuthBench();
  replica = await bench.startReplica();
});
beforeEach(() => {
  bench.clock.now += 2 * tenMinutes;
});
afterAll(() => bench.stop());

const client = () => bench.as({ principal: admin });
const kidOf = (token: string) => JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString()).kid;
const newToken = async (of: AuthBench) => (await of.as({ principal: operator }).createUserToken({})).token;
const verify = (token: string, by: AuthBench) =>
  verifyToken("user", token, { keys: by.module.trust, trustDomain, now: bench.clock.now, keyThumbprint: undefined });

describe("G-08 RotateSigningKeys", () => {
  it("has every replica sign with the key that everybody knew, and leaves what was signed valid", async () => {
    const before = await newToken(bench);
    const { keys: listed } = await client().listSigningKeys({});
    const waiting = listed.find(({ algorithm, state }) => algorithm === "EdDSA" && state === SigningKeyState.NEXT);
    expect(bench.module.trust.find(waiting?.kid ?? "")).toBeDefined();
    const { keys, rotated } = await client().rotateSigningKeys({});
    expect(rotated).toBe(true);
    expect(keys.map(({ algorithm, state }) => `${algorithm} ${SigningKeyState[state]}`).sort()).toEqual(
      ["ES256", "EdDSA", "workload-ES256"].flatMap((algorithm) =>
        ["CURRENT", "NEXT", "PREVIOUS"].map((state) => `${algorithm} ${state}`),
      ),
    );
    expect(kidOf(await newToken(bench))).toBe(waiting?.kid);
    await vi.waitFor(async () => expect(kidOf(await newToken(replica))).toBe(waiting?.kid));
    for (const verifier of [bench, replica])
      expect(await verify(before, verifier)).toMatchObject({ outcome: "verified", keyId: kidOf(before) });
  });

  it("rotates one algorithm, and nothing while that is under way", async () => {
    const egress = bench.keys.current("ES256").kid;
    const session = bench.keys.current("EdDSA").kid;
    expect((await client().rotateSigningKeys({ algorithm: "ES256" })).rotated).toBe(true);
    expect(bench.keys.current("ES256").kid).not.toBe(egress);
    expect(bench.keys.current("EdDSA").kid).toBe(session);
    const { rotated, keys } = await client().rotateSigningKeys({ algorithm: "ES256" });
    expect(rotated).toBe(true); // its key is new: it signs when it has been published for ten minutes
    expect((await client().rotateSigningKeys({ algorithm: "ES256" })).rotated).toBe(false);
    const scheduled = keys.find(({ signTime }) => Number(signTime?.seconds ?? 0) * 1000 > bench.clock.now);
    expect(scheduled).toMatchObject({ algorithm: "ES256", state: SigningKeyState.NEXT });
    expect(Number(scheduled?.signTime?.seconds) * 1000).toBe(bench.clock.now + tenMinutes);
  });

  it("refuses an algorithm that nothing is signed with", async () => {
    expect(await reasonOf(client().rotateSigningKeys({ algorithm: "HS256" }))).toBe("REQUEST_INVALID");
  });

  it("G-31 is in the audit log of whoever did it", async () => {
    const { events } = await bench.audit.list({
      organizationId,
      pageSize: 10,
      pageToken: "",
      action: "signing_key.rotated",
    });
    expect(events.length).toBeGreaterThan(0);
    expect(events[0]).toMatchObject({ principal: admin.kind === "user" ? admin.spiffeId : "" });
    expect(events[0]?.details).toHaveProperty("kids");
  });
});

describe("G-15 RevokeSigningKey", () => {
  it("has everything that the key signed refused at every replica, and signs with the next key at once", async () => {
    const stolen = await newToken(bench);
    const waiting = bench.keys.records.filter(({ signsFromMs }) => signsFromMs === undefined).map(({ kid }) => kid);
    expect(await verify(stolen, replica)).toMatchObject({ outcome: "verified" });
    const { keys } = await client().revokeSigningKey({ kid: kidOf(stolen), reason: "stolen" });
    expect(keys.map(({ kid }) => kid)).not.toContain(kidOf(stolen));
    expect(await verify(stolen, bench)).toEqual({ outcome: "not_ours" });
    await vi.waitFor(() => expect(replica.module.trust.isKeyRevoked(kidOf(stolen))).toBe(true));
    expect(await verify(stolen, replica)).toEqual({ outcome: "not_ours" });
    const fresh = await newToken(replica);
    expect(waiting).toContain(kidOf(fresh));
    expect(await verify(fresh, bench)).toMatchObject({ outcome: "verified" });
  });

  it("G-13 does not answer a refresh with what the key has signed", async () => {
    const sandbox = await registerSandbox(bench);
    const { tokenId } = await enrol(bench, sandbox);
    const { sandboxId } = sandbox;
    await sandbox.session(tokenId).refreshSandboxToken({ sandboxId });
    await client().revokeSigningKey({ kid: bench.keys.current("EdDSA").kid });
    expect(await reasonOf(sandbox.session(tokenId).refreshSandboxToken({ sandboxId }))).toBe("CREDENTIAL_REVOKED");
  });

  it("cuts the streams that were opened with such a token", async () => {
    const kid = bench.keys.current("EdDSA").kid;
    const cut = new Promise<void>((resolve) => bench.module.trust.watch([`key:${kid}`], resolve));
    await client().revokeSigningKey({ kid });
    await cut;
    expect(bench.module.trust.isKeyRevoked(kid)).toBe(true);
  });

  it("changes nothing when it is repeated, and knows no other key", async () => {
    const { keys } = await client().listSigningKeys({});
    const revoked = keys.find(({ state }) => state === SigningKeyState.REVOKED);
    await client().revokeSigningKey({ kid: revoked?.kid ?? "" });
    expect((await client().listSigningKeys({})).keys).toEqual(keys);
    expect(await reasonOf(client().revokeSigningKey({ kid: "another" }))).toBe("SIGNING_KEY_NOT_FOUND");
    expect(await reasonOf(client().revokeSigningKey({ kid: "x", reason: "r".repeat(201) }))).toBe("REQUEST_INVALID");
  });

  it("tells a consumer that begins afterwards of no key that is gone", async () => {
    const { keys } = await client().listSigningKeys({});
    const stop = new AbortController();
    const stream = replica.as({}).watchTrust({}, { signal: stop.signal });
    for await (const { change } of stream) {
      if (change.case !== "snapshot") continue;
      const published = createKeySet(change.value.signingKeys?.jwksJson ?? "");
      for (const { kid, state, algorithm } of keys)
        expect(published.find(kid) !== undefined).toBe(
          state !== SigningKeyState.REVOKED && state !== SigningKeyState.RETIRED && algorithm !== "workload-ES256", // relying parties alone are told of those
        );
      break;
    }
    stop.abort();
  });
});
