import { X509Certificate } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createDevelopmentPki } from "./development-pki.ts";
import { isIssuedBy } from "./is-issued-by.ts";
import { readCertificate } from "./read-certificate.ts";

const operatorUserId = "6f1c9d1e-7d0a-4b0e-9a53-0d7d2b9d0c11";
const day = 86_400_000;

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "pki-"));
});
afterEach(() => rm(directory, { recursive: true }));

const make = (over: { now?: number; trustDomain?: string } = {}) =>
  createDevelopmentPki({ directory, trustDomain: "sandgate.test", operatorUserId, ...over });

const contents = async () =>
  Object.fromEntries(
    await Promise.all(
      (await readdir(directory)).toSorted().map(async (name) => [name, await readFile(join(directory, name), "utf8")]),
    ),
  );

describe("G-07 createDevelopmentPki", () => {
  it("changes nothing when it runs twice", async () => {
    await make();
    const before = await contents();
    expect((await make()).written).toEqual([]);
    expect(await contents()).toEqual(before);
  });

  it("lets no one else read a key", async () => {
    await make();
    const keys = (await readdir(directory)).filter((name) => name.endsWith(".key.pem"));
    expect(keys).toHaveLength(11);
    for (const key of keys) expect((await stat(join(directory, key))).mode & 0o777).toBe(0o600);
  });

  it("issues every leaf from the authority that it belongs to", async () => {
    const pki = await make();
    const serviceCa = await readFile(pki.serviceAuthority.certificateFile, "utf8");
    for (const [name, files] of Object.entries(pki.services)) {
      const { raw } = new X509Certificate(await readFile(files.certificateFile));
      expect(isIssuedBy(raw, serviceCa)).toBe(true);
      expect(readCertificate(raw).spiffeId).toBe(`spiffe://sandgate.test/service/${name}`);
    }
    const { raw } = new X509Certificate(await readFile(pki.operator.certificateFile));
    expect(isIssuedBy(raw, await readFile(pki.operatorAuthority.certificateFile, "utf8"))).toBe(true);
    expect(readCertificate(raw).spiffeId).toBe(`spiffe://sandgate.test/user/${operatorUserId}`);
  });

  it("renews leaves that are close to their end and keeps the authorities", async () => {
    await make();
    const { written } = await make({ now: Date.now() + 61 * day });
    expect(written).toHaveLength(16);
    expect(written.some((file) => file.includes("-ca"))).toBe(false);
  });

  it("makes leaves anew for another trust domain", async () => {
    await make();
    expect((await make({ trustDomain: "other.test" })).written).toHaveLength(16);
  });

  it("lets callers on one directory come one after the other: one makes everything, the others find it", async () => {
    const made = await Promise.all(Array.from({ length: 8 }, () => make()));
    expect(made.map(({ written }) => written.length).toSorted((one, other) => one - other)).toEqual([
      0, 0, 0, 0, 0, 0, 0, 22,
    ]);
    expect((await make()).written).toEqual([]);
    expect((await readdir(directory)).filter((name) => name.endsWith(".new"))).toEqual([]);
  });

  it("mends a pair that a crash tore apart", async () => {
    const pki = await make();
    await writeFile(pki.services.auth.keyFile, await readFile(pki.services.policy.keyFile));
    expect((await make()).written).toEqual([pki.services.auth.keyFile, pki.services.auth.certificateFile]);
  });
});
