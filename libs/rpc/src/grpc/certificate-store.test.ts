import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createKeyPair } from "@sandgate/pki";
import { createCertificateAuthority, loadCertificateAuthority } from "@sandgate/pki/authority";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FileCertificateStore } from "./certificate-store.ts";

const directory = mkdtempSync(join(tmpdir(), "store-"));
const file = (name: string): string => join(directory, name);
const write = (name: string, text: string): void => writeFileSync(file(name), text);

async function newAuthority() {
  const files = await createCertificateAuthority({ commonName: "services", notAfter: Date.now() + 3_600_000 });
  const authority = await loadCertificateAuthority(files);
  const issue = async () => {
    const { publicKey, privateKey } = createKeyPair();
    const now = Date.now();
    const about = { trustDomain: "sandgate.test", service: "auth", dnsNames: [], ipAddresses: [], publicKey };
    const { pem } = await authority.issueServiceCertificate({ ...about, notAfter: now + 600_000, now });
    return { pem, keyPem: privateKey.export({ type: "pkcs8", format: "pem" }).toString() };
  };
  return { pem: files.certificatePem, issue };
}

let authority: Awaited<ReturnType<typeof newAuthority>>;
let store: FileCertificateStore;
beforeAll(async () => {
  authority = await newAuthority();
  const leaf = await authority.issue();
  write("ca.pem", authority.pem);
  write("leaf.pem", leaf.pem);
  write("leaf.key.pem", leaf.keyPem);
  const files = { caFiles: [file("ca.pem")], certificateFile: file("leaf.pem"), keyFile: file("leaf.key.pem") };
  store = new FileCertificateStore(files);
});
afterAll(() => {
  store.close();
  rmSync(directory, { recursive: true });
});

describe("FileCertificateStore", () => {
  it("takes over a renewed pair once both files are there, never one half of it", async () => {
    const before = store.identity;
    const renewed = await authority.issue();
    write("leaf.key.pem", renewed.keyPem);
    expect(() => store.reload()).toThrow("not that of the certificate");
    expect(store.identity).toEqual(before);
    write("leaf.pem", renewed.pem);
    store.reload();
    expect(store.identity).toEqual({ certificate: renewed.pem, key: renewed.keyPem });
  });

  it("says which certificates are in use, and tells of every change of them", async () => {
    let changes = 0;
    store.onChange(() => {
      changes += 1;
    });
    const before = store.inUse;
    store.reload();
    expect(changes).toBe(0);
    write("ca.pem", authority.pem + (await newAuthority()).pem);
    store.reload();
    expect(changes).toBe(1);
    expect(store.inUse.certificate).toBe(before.certificate);
    expect(store.inUse.authorities).toHaveLength(2);
    expect(store.inUse.authorities[0]).toBe(before.authorities[0]);
  });
});
