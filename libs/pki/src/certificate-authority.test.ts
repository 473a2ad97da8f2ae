import "reflect-metadata";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import {
  BasicConstraintsExtension,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
} from "@peculiar/x509";
import { beforeAll, describe, expect, it } from "vitest";
import {
  type CertificateAuthority,
  CertificateRequestError,
  createCertificateAuthority,
  loadCertificateAuthority,
} from "./certificate-authority.ts";
import { createCsr, createKeyPair } from "./certificate-request.ts";
import { isIssuedBy } from "./is-issued-by.ts";
import { keyThumbprint } from "./jwk-thumbprint.ts";
import { readCertificate } from "./read-certificate.ts";

const now = Date.parse("2026-03-01T12:00:00Z");
const hour = 3_600_000;
const sandbox = { trustDomain: "sandgate.test", sandboxId: "sbx-aaaaaaaaaaaaaaaaaaaa", lifeMs: hour, now };

let authority: CertificateAuthority;
let other: CertificateAuthority;
beforeAll(async () => {
  const files = { commonName: "test", notAfter: now + 100 * hour, now };
  authority = await loadCertificateAuthority(await createCertificateAuthority(files));
  other = await loadCertificateAuthority(await createCertificateAuthority(files));
});

describe("a sandbox certificate", () => {
  it("is for the request's key, names the sandbox alone and lives an hour at most", async () => {
    const keys = createKeyPair();
    const leaf = await authority.issueSandboxCertificate({ ...sandbox, certificateRequest: createCsr(keys) });
    const parsed = new X509Certificate(leaf.der);
    expect(readCertificate(leaf.der)).toMatchObject({
      spiffeId: "spiffe://sandgate.test/sandbox/sbx-aaaaaaaaaaaaaaaaaaaa",
      keyThumbprint: keyThumbprint(keys.publicKey),
      notBefore: now - 30_000,
      notAfter: now - 30_000 + hour,
      dnsNames: [],
    });
    expect(leaf.keyThumbprint).toBe(keyThumbprint(keys.publicKey));
    expect(parsed.ca).toBe(false);
    expect(parsed.keyUsage).toEqual(["1.3.6.1.5.5.7.3.2"]);
    expect(parsed.subjectAltName).toBe("URI:spiffe://sandgate.test/sandbox/sbx-aaaaaaaaaaaaaaaaaaaa");
    expect(isIssuedBy(leaf.der, authority.certificatePem, now)).toBe(true);
  });

  it("takes no name and no extension from the request", async () => {
    const keys = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
    const request = await Pkcs10CertificateRequestGenerator.create({
      name: "CN=auth",
      keys,
      signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
      extensions: [
        new BasicConstraintsExtension(true),
        new SubjectAlternativeNameExtension([
          { type: "url", value: "spiffe://sandgate.test/service/auth" },
          { type: "dns", value: "auth.sandgate.test" },
        ]),
      ],
    });
    const { der } = await authority.issueSandboxCertificate({
      ...sandbox,
      certificateRequest: new Uint8Array(request.rawData),
    });
    const parsed = new X509Certificate(der);
    expect(parsed.ca).toBe(false);
    expect(parsed.subject).toBe("CN=sbx-aaaaaaaaaaaaaaaaaaaa");
    expect(parsed.subjectAltName).toBe("URI:spiffe://sandgate.test/sandbox/sbx-aaaaaaaaaaaaaaaaaaaa");
  });

  it.each([
    ["nothing", () => new Uint8Array()],
    ["noise", () => new Uint8Array(64).fill(7)],
    ["more than 4 KiB", () => new Uint8Array(5000)],
    [
      "a signature that is broken",
      () => {
        const csr = createCsr(createKeyPair());
        csr[csr.length - 1] = (csr.at(-1) ?? 0) ^ 1;
        return csr;
      },
    ],
    ["another's signature", () => createCsr({ ...createKeyPair(), publicKey: createKeyPair().publicKey })],
    ["a P-384 key", () => createCsr(generateKeyPairSync("ec", { namedCurve: "P-384" }))],
    ["an RSA key", () => createCsr(generateKeyPairSync("rsa", { modulusLength: 2048 }))],
    ["an Ed25519 key", () => createCsr({ ...createKeyPair(), publicKey: generateKeyPairSync("ed25519").publicKey })],
  ])("is refused for a request with %s", async (_name, request) => {
    await expect(authority.issueSandboxCertificate({ ...sandbox, certificateRequest: request() })).rejects.toThrow(
      CertificateRequestError,
    );
  });

  it("is refused for more than an hour", async () => {
    const request = { ...sandbox, lifeMs: hour + 1, certificateRequest: createCsr(createKeyPair()) };
    await expect(authority.issueSandboxCertificate(request)).rejects.toThrow(RangeError);
  });
});

it("issues service certificates for serving and calling", async () => {
  const { publicKey } = createKeyPair();
  const { der } = await authority.issueServiceCertificate({
    trustDomain: "sandgate.test",
    service: "policy",
    publicKey,
    dnsNames: ["policy.sandgate.test", "localhost"],
    ipAddresses: ["127.0.0.1", "::1"],
    notAfter: now + hour,
    now,
  });
  const parsed = new X509Certificate(der);
  expect(readCertificate(der)).toMatchObject({
    spiffeId: "spiffe://sandgate.test/service/policy",
    dnsNames: ["policy.sandgate.test", "localhost"],
  });
  expect(parsed.checkHost("policy.sandgate.test")).toBe("policy.sandgate.test");
  expect(parsed.checkIP("::1")).toBe("::1");
  expect(parsed.keyUsage).toEqual(["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]);
});

describe("isIssuedBy", () => {
  const leafOf = async (issuer: CertificateAuthority) =>
    issuer.issueSandboxCertificate({ ...sandbox, certificateRequest: createCsr(createKeyPair()) });

  it("refuses the leaf of another authority with the same name", async () => {
    expect(isIssuedBy((await leafOf(other)).der, authority.certificatePem, now)).toBe(false);
  });

  it.each([
    ["expired", now + hour],
    ["not yet valid", now - 60_000],
  ])("refuses a leaf that is %s", async (_name, at) => {
    expect(isIssuedBy((await leafOf(authority)).der, authority.certificatePem, at)).toBe(false);
  });

  it("refuses a leaf of an authority that is expired", async () => {
    const short = await loadCertificateAuthority(
      await createCertificateAuthority({ commonName: "short", notAfter: now + 1000, now }),
    );
    expect(isIssuedBy((await leafOf(short)).der, short.certificatePem, now + 2000)).toBe(false);
  });

  it("refuses an issuer that is no authority", async () => {
    const keys = createKeyPair();
    const keyPem = keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    const { pem } = await authority.issueSandboxCertificate({ ...sandbox, certificateRequest: createCsr(keys) });
    await expect(loadCertificateAuthority({ certificatePem: pem, keyPem })).rejects.toThrow(TypeError);
    expect(isIssuedBy(new X509Certificate(pem).raw, pem, now)).toBe(false);
  });

  it("refuses what is not a certificate", () => {
    expect(isIssuedBy(new Uint8Array(10), authority.certificatePem, now)).toBe(false);
  });
});

it("reads no certificate with bytes around it", async () => {
  const { der, pem } = await authority.issueSandboxCertificate({
    ...sandbox,
    certificateRequest: createCsr(createKeyPair()),
  });
  expect(() => readCertificate(Buffer.concat([der, Buffer.from([0])]))).toThrow(TypeError);
  expect(() => readCertificate(Buffer.from(pem))).toThrow(TypeError);
});

it("takes only its own key into use", async () => {
  const one = await createCertificateAuthority({ commonName: "one", notAfter: now + hour, now });
  const two = await createCertificateAuthority({ commonName: "two", notAfter: now + hour, now });
  await expect(loadCertificateAuthority({ ...one, keyPem: two.keyPem })).rejects.toThrow(TypeError);
});
