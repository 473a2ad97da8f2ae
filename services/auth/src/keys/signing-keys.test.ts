import { randomBytes } from "node:crypto";
import { chmod, mkdtemp, readdir, readFile, rename, rm, stat, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { AuditLog } from "@sandgate/audit";
import { ConfigError } from "@sandgate/config";
import { createKeySet, type WorkloadAlgorithm } from "@sandgate/identity";
import { createKeyPair, keyThumbprint } from "@sandgate/pki";
import { SealingError } from "@sandgate/sealing";
import { createThrowAwayDatabase, type ThrowAwayDatabase } from "@sandgate/testing";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SigningKeysError } from "./key-sealer.ts";
import { openSigningKeys } from "./signing-keys.ts";

const actor = { principal: "spiffe://t/service/auth", peer: "none", organizationId: "" };
const start = Date.parse("2026-03-01T12:00:00Z");
const dayMs = 86_400_000;

let directory: string;
let database: ThrowAwayDatabase;
let now: number;
beforeEach(async () => {
  now = start;
  directory = await mkdtemp(join(tmpdir(), "keys-"));
  database = await createThrowAwayDatabase({ services: ["auth"] });
  await database.migrate("auth", fileURLToPath(new URL("../../migrations", import.meta.url)));
});
afterEach(async () => {
  await database.drop();
  await rm(directory, { recursive: true });
});

const open = async (over: { directory?: string; maxAgeMs?: number; workloadAlgorithm?: WorkloadAlgorithm } = {}) => {
  const pool = database.createPool("auth");
  return openSigningKeys({
    pool,
    audit: new AuditLog({ database: pool, clock: () => now }),
    directory: over.directory ?? directory,
    rotation: { maxAgeMs: over.maxAgeMs ?? 0, publishMs: 600_000 },
    workloadAlgorithm: over.workloadAlgorithm ?? "ES256",
    clock: () => now,
  });
};
const started = async (over: Parameters<typeof open>[0] = {}) => {
  const keys = await open(over);
  await keys.start(actor);
  return keys;
};

describe("the signing keys", () => {
  it("G-07, D-12 are sealed in the database with a file that only its owner can read", async () => {
    const keys = await started();
    expect(await readdir(directory)).toEqual(["sealing.key"]);
    expect((await stat(join(directory, "sealing.key"))).mode & 0o777).toBe(0o600);
    expect((await started()).jwksJson).toBe(keys.jwksJson);
    expect(JSON.parse(keys.jwksJson).keys).toHaveLength(4);
    // a private key in PKCS#8 begins with its version and its algorithm: 30 .. .. 02 01 00 30
    for (const { sealedKey } of keys.records)
      expect(Buffer.from(sealedKey ?? []).toString("hex")).not.toMatch(/020100300[05]|0201003013/);
  });

  it("G-08 are the same in replicas that start together", async () => {
    const replicas = await Promise.all(Array.from({ length: 4 }, () => open()));
    await Promise.all(replicas.map((keys) => keys.start(actor)));
    for (const keys of replicas) await keys.load();
    expect(new Set(replicas.map(({ jwksJson }) => jwksJson)).size).toBe(1);
    const [first, second] = replicas;
    const token = await first?.current("EdDSA").sign("t", { a: 1 });
    expect(await second?.current("EdDSA").sign("t", { a: 1 })).toBe(token);
  });

  it("G-08 rotate by age, stay published for as long as their tokens live, and end", async () => {
    const keys = await started({ maxAgeMs: 30 * dayMs });
    const first = keys.current("ES256").kid;
    const maintain = async (day: number) => {
      now = start + day * dayMs;
      await keys.maintain(actor);
      await keys.load();
    };
    await maintain(29);
    expect(keys.current("ES256").kid).toBe(first);
    await maintain(30);
    expect(keys.current("ES256").kid).not.toBe(first);
    expect(createKeySet(keys.jwksJson).find(first)?.algorithm).toBe("ES256");
    expect(keys.find(first)).toBeDefined();
    await maintain(31);
    expect(createKeySet(keys.jwksJson).find(first)).toBeUndefined();
    expect(keys.find(first)).toBeUndefined();
    expect(JSON.parse(keys.jwksJson).keys).toHaveLength(4 + 1); // the EdDSA key's tokens live longer than a day
    await maintain(31.1);
    expect(JSON.parse(keys.jwksJson).keys).toHaveLength(4);
  });

  it("G-08 begin to sign by the clock, without anything being read", async () => {
    const keys = await started();
    const rotate = async () => {
      await keys.load();
      const waiting = keys.records.find((key) => key.algorithm === "EdDSA" && key.signsFromMs === undefined);
      await keys.store.rotate({ algorithms: ["EdDSA"], minimumAgeMs: 0 }, now, actor);
      await keys.load();
      return waiting;
    };
    now += 1;
    await rotate();
    const waiting = await rotate();
    now += 599_999;
    expect(keys.current("EdDSA").kid).not.toBe(waiting?.kid);
    now += 1;
    expect(keys.current("EdDSA").kid).toBe(waiting?.kid);
  });

  it("have ids that a command line takes", async () => {
    const keys = await started();
    for (let count = 0; count < 80; count += 1) {
      now += 700_000;
      await keys.store.rotate({ algorithms: ["EdDSA"], minimumAgeMs: 0 }, now, actor);
    }
    await keys.load();
    for (const { kid } of keys.records) expect(kid).toMatch(/^[A-Za-z0-9]/);
  });

  it("G-07 begin with the keys of the directory's files", async () => {
    const { privateKey } = createKeyPair();
    const pem = privateKey.export({ type: "pkcs8", format: "pem" });
    await writeFile(join(directory, "egress-signing.pem"), pem, { mode: 0o600 });
    expect((await started()).current("ES256").kid).toBe(keyThumbprint(privateKey));
  });
});

describe("a key directory is refused", () => {
  it.each<[string, (file: string) => Promise<void>]>([
    ["whose sealing key others can read", (file) => chmod(file, 0o644)],
    ["whose sealing key is none", (file) => writeFile(file, "short")],
    ["whose sealing key is another", (file) => writeFile(file, Buffer.alloc(32, 7).toString("base64url"))],
    ["whose sealing key is gone", (file) => unlink(file)],
  ])("%s, by the name of the file", async (_name, spoil) => {
    await started();
    const file = join(directory, "sealing.key");
    await spoil(file);
    const fault: unknown = await started().catch((thrown: unknown) => thrown);
    expect([SigningKeysError, SealingError, ConfigError].some((kind) => fault instanceof kind)).toBe(true);
    expect(String(fault)).toContain(file);
    expect(fault).toHaveProperty("exitCode", 2);
  });

  it("D-12 of another replica that made a sealing key of its own", async () => {
    await started();
    const other = await mkdtemp(join(tmpdir(), "keys-"));
    await expect(started({ directory: other })).rejects.toThrow(SigningKeysError);
    expect(await readdir(other)).toEqual([]);
    await rm(other, { recursive: true });
  });

  it.each<[string, string | Promise<string>]>([
    ["no key", "no key"],
    ["a key of another algorithm", createKeyPair().privateKey.export({ type: "pkcs8", format: "pem" }).toString()],
  ])("whose first key is %s", async (_name, text) => {
    const file = join(directory, "signing.pem");
    await writeFile(file, await text, { mode: 0o600 });
    await expect(started()).rejects.toThrow(file);
    expect(await readFile(file, "utf8")).toBe(text);
  });
});

describe("the keys of tokens for third parties", () => {
  const kidsOf = (jwksJson: string) => JSON.parse(jwksJson).keys.map(({ kid }: { kid: string }) => kid);

  it("are published to relying parties, and never told to our own verifiers", async () => {
    const keys = await started();
    const { kid, algorithm } = keys.currentWorkload();
    expect(algorithm).toBe("ES256");
    expect(kidsOf(keys.publishedJwksJson)).toContain(kid);
    expect(kidsOf(keys.publishedJwksJson)).toHaveLength(6);
    expect(kidsOf(keys.jwksJson)).toHaveLength(4);
    expect(kidsOf(keys.jwksJson)).not.toContain(kid);
    expect(keys.find(kid)).toBeUndefined();
  });

  it("sign with RSA where the setting says so, and what signed before stays published", async () => {
    const before = (await started()).currentWorkload();
    const keys = await started({ workloadAlgorithm: "RS256" });
    expect(keys.currentWorkload()).toMatchObject({ algorithm: "RS256", privateKey: { asymmetricKeyType: "rsa" } });
    const published = JSON.parse(keys.publishedJwksJson).keys;
    expect(published).toContainEqual(
      expect.objectContaining({ kid: keys.currentWorkload().kid, kty: "RSA", alg: "RS256", use: "sig" }),
    );
    expect(published.some((key: object) => "d" in key || "p" in key)).toBe(false);
    expect(kidsOf(keys.publishedJwksJson)).toContain(before.kid);
  });

  it("G-08 rotate like the others: published first, and retired when nothing that they signed can be valid", async () => {
    const keys = await started({ maxAgeMs: dayMs });
    const first = keys.currentWorkload();
    now += dayMs;
    await keys.maintain(actor);
    await keys.load();
    const second = keys.currentWorkload();
    expect(second.kid).not.toBe(first.kid);
    expect(kidsOf(keys.publishedJwksJson)).toContain(first.kid);
    now += 600_000;
    await keys.maintain(actor);
    await keys.load();
    expect(kidsOf(keys.publishedJwksJson)).not.toContain(first.kid);
    expect(keys.currentWorkload().kid).toBe(second.kid);
  });

  const newSealingKey = () => `${randomBytes(32).toString("base64url")}\n`;
  const place = (name: string) => join(directory, name);

  it("ADR 0004 are sealed with another key while replicas run: both open until it has the old one's place", async () => {
    const [keys, replica] = [await started(), await started()];
    await writeFile(place("sealing.next.key"), newSealingKey(), { mode: 0o600 });
    expect((await started()).jwksJson).toBe(keys.jwksJson);
    expect(await keys.reseal(actor)).toBe(6);
    expect((await started()).jwksJson).toBe(keys.jwksJson);
    expect(await keys.reseal(actor)).toBe(6);
    await rename(place("sealing.next.key"), place("sealing.key"));
    expect((await started()).jwksJson).toBe(keys.jwksJson);
    // a replica that was not told makes a key of its own meanwhile, with the key that is there now
    await replica.store.rotate({ algorithms: replica.algorithms, minimumAgeMs: 0 }, now, actor);
    await replica.load();
    expect((await started()).jwksJson).toBe(replica.jwksJson);
  });

  it("ADR 0004 are all sealed with the key that they had, when one of them cannot be opened", async () => {
    const keys = await started();
    const pool = database.createPool("auth");
    const before = await pool.query("select kid, sealed_key from signing_keys order by kid");
    await pool.query("update signing_keys set sealed_key = 'x' where kid = (select max(kid) from signing_keys)");
    await writeFile(place("sealing.next.key"), newSealingKey(), { mode: 0o600 });
    await expect(keys.reseal(actor)).rejects.toThrow(SigningKeysError);
    const after = await pool.query("select kid, sealed_key from signing_keys order by kid");
    expect(after.rows.slice(0, -1)).toEqual(before.rows.slice(0, -1));
  });
});
