import { createPrivateKey } from "node:crypto";
import { mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readAuthorityBundle } from "./authority-bundle.ts";
import { loadCertificateAuthority } from "./certificate-authority.ts";
import { createKeyPair } from "./certificate-request.ts";
import { createDevelopmentPki, developmentAuthority } from "./development-pki.ts";
import { isIssuedBy } from "./is-issued-by.ts";

const trustDomain = "sandgate.test";
const operatorUserId = "6f1c9d1e-7d0a-4b0e-9a53-0d7d2b9d0c11";
const now = Date.now();

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "pki-"));
  await createDevelopmentPki({ directory, trustDomain, operatorUserId });
});
afterEach(() => rm(directory, { recursive: true }));

const files = () => developmentAuthority(directory, "sandbox", trustDomain);
const state = async () => {
  const read = await files().read();
  if (read === undefined) throw new Error("there is no authority");
  return read;
};
const bundle = () => readFile(files().bundleFile, "utf8");
/** A certificate that whoever issues now has issued. */
const leaf = async () => {
  const { keyPem } = await state();
  const authority = await loadCertificateAuthority({ certificatePem: await bundle(), keyPem });
  const { publicKey } = createKeyPair();
  return authority.issueOperatorCertificate({
    trustDomain,
    userId: operatorUserId,
    publicKey,
    notAfter: now + 60_000,
    now,
  });
};

describe("G-07 AuthorityFiles", () => {
  it("has both accepted from before the next one issues until the one before is retired", async () => {
    const old = await leaf();
    await files().publish(now);
    expect(isIssuedBy((await leaf()).der, (await state()).current)).toBe(true);
    const published = await bundle();
    await files().promote();
    const fresh = await leaf();
    expect(isIssuedBy(fresh.der, published)).toBe(true);
    expect([isIssuedBy(old.der, await bundle()), isIssuedBy(fresh.der, await bundle())]).toEqual([true, true]);
    await files().retire();
    expect([isIssuedBy(old.der, await bundle()), isIssuedBy(fresh.der, await bundle())]).toEqual([false, true]);
  });

  it("keeps no key of an authority that issues no more, and lets no one read one", async () => {
    const { keyPem } = await state();
    await files().publish(now);
    const keys = async () =>
      (await readdir(directory)).filter((name) => name.startsWith("sandbox-ca") && name.includes("key"));
    expect(await keys()).toEqual(["sandbox-ca.key.pem", "sandbox-ca.next.key.pem"]);
    for (const name of await keys()) expect((await stat(join(directory, name))).mode & 0o777).toBe(0o600);
    await files().promote();
    expect(await keys()).toEqual(["sandbox-ca.key.pem"]);
    expect((await state()).keyPem).not.toBe(keyPem);
  });

  it("changes nothing when a step is repeated", async () => {
    await files().publish(now);
    const published = await bundle();
    await files().publish(now);
    expect(await bundle()).toBe(published);
    await files().promote();
    const promoted = await bundle();
    await files().promote();
    expect(await bundle()).toBe(promoted);
  });

  it("goes on after a crash between the key and the bundle, at either step", async () => {
    // of `publish`: the next key is there, its certificate is not
    const next = join(directory, "sandbox-ca.next.key.pem");
    await writeFile(next, createKeyPair().privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
    await files().publish(now);
    expect((await state()).next).toBeDefined();

    // of `promote`: the key is the next one's, the bundle has the old order
    const before = await state();
    await rename(next, files().keyFile);
    expect((await state()).current.fingerprint256).toBe(before.next?.fingerprint256);
    expect((await state()).previous.map(({ fingerprint256 }) => fingerprint256)).toEqual([
      before.current.fingerprint256,
    ]);
    const { written } = await createDevelopmentPki({ directory, trustDomain, operatorUserId });
    expect(written).toEqual([]);
    const [first] = readAuthorityBundle(await bundle());
    expect(first?.checkPrivateKey(createPrivateKey((await state()).keyPem))).toBe(true);
  });

  it("renews the leaves of a promoted authority, and of no other", async () => {
    const service = developmentAuthority(directory, "service", trustDomain);
    await service.publish(now);
    expect((await createDevelopmentPki({ directory, trustDomain, operatorUserId })).written).toEqual([]);
    await service.promote();
    const { written } = await createDevelopmentPki({ directory, trustDomain, operatorUserId });
    expect(written).toHaveLength(14);
    expect(written.some((file) => file.includes("-ca") || file.includes("operator"))).toBe(false);
  });
});
