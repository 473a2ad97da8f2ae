import { spawn } from "node:child_process";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { createTokenSigner, type EgressClaims, formatJwks, mintToken } from "@sandgate/identity/tokens";
import { createCsr, createKeyPair } from "@sandgate/pki";
import { createCertificateAuthority, loadCertificateAuthority } from "@sandgate/pki/authority";
import { afterAll, describe, expect, it, onTestFinished } from "vitest";
import { readClientCertificate } from "../read-client-certificate.ts";

const folder = mkdtempSync(join(tmpdir(), "token-verify-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs the command with a token on its standard input. */
async function verify(token: string, ...words: readonly string[]) {
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, "../main.ts"), "token", "verify", "--json", ...words],
    {
      stdio: ["pipe", "pipe", "pipe"],
      env: { PATH: "/usr/bin:/bin", HOME: folder, SANDGATE_DIRECTORY: join(folder, "suite") },
    },
  );
  const exited = new Promise<number | null>((resolve) => child.once("close", resolve));
  child.stdin.end(`${token}\n`);
  const [output] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const status = await exited;
  return { status, document: output === "" ? undefined : JSON.parse(output) };
}

const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const issuer = "https://auth.sandgate.test";
const now = Math.floor(Date.now() / 1000) * 1000;
const claims: EgressClaims = {
  kind: "egress",
  tokenId: "t".repeat(43),
  sandboxId: "sbx-aaaaaaaaaaaaaaaaaaaa",
  organizationId: "6f1c9d1e-7d0a-4b0e-9a53-0d7d2b9d0c11",
  incarnation: 3n,
  issuedAtMs: now - 600_000,
  expiresAtMs: now + 600_000,
  audience: "sandbox-api",
  enforceContainerBinding: true,
  useEgressGateway: true,
  enforceCentralizedEgress: true,
  isHipaaRegulated: false,
  isPciCompliant: false,
  allowedHosts: undefined,
  confirmation: undefined,
};
const mint = (over: Partial<EgressClaims> = {}) =>
  mintToken({ signer: createTokenSigner(ec.privateKey), trustDomain: "sandgate.test", claims: { ...claims, ...over } });
const jwks = formatJwks([ec.publicKey]);
const keysFile = join(folder, "jwks.json");
writeFileSync(keysFile, jwks);
const stated = ["--audience", "sandbox-api", "--issuer", issuer];

async function certify(name: string): Promise<string> {
  const authority = await loadCertificateAuthority(
    await createCertificateAuthority({ commonName: "sandboxes", notAfter: now + 86_400_000 }),
  );
  const { der } = await authority.issueSandboxCertificate({
    trustDomain: "sandgate.test",
    sandboxId: claims.sandboxId,
    lifeMs: 600_000,
    now,
    certificateRequest: createCsr(createKeyPair()),
  });
  writeFileSync(join(folder, name), new X509Certificate(der).toString());
  return join(folder, name);
}

describe("sandgate token verify", { timeout: 60_000 }, () => {
  it("S0-07 verifies a container token by a key set in a file, without a suite, and says what it says", async () => {
    const { status, document } = await verify(await mint(), ...stated, "--keys", keysFile);
    expect({ status, document }).toMatchObject({
      status: 0,
      document: {
        verified: true,
        by: "keys",
        holderChecked: false,
        claims: { sandboxId: claims.sandboxId, incarnation: "3" },
      },
    });
  });

  it("reads the key set over the network, and is told apart when it cannot be had", async () => {
    const server = createServer((_request, response) => response.end(jwks));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close());
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`; // a TCP server has a port
    const token = await mint();
    expect((await verify(token, ...stated, "--keys", url)).status).toBe(0);
    server.close();
    server.closeAllConnections();
    expect((await verify(token, ...stated, "--keys", url)).status).toBe(5);
  });

  it.each<[string, () => Promise<string>, readonly string[], number, string | undefined]>([
    [
      "S0-07 a changed token",
      async () => (await mint()).replace(/.$/, "x"),
      [...stated, "--keys", keysFile],
      4,
      "CREDENTIAL_REJECTED",
    ],
    [
      "S0-07 an expired one",
      () => mint({ expiresAtMs: now - 60_000 }),
      [...stated, "--keys", keysFile],
      4,
      "CREDENTIAL_EXPIRED",
    ],
    [
      "D-02 one for another audience",
      () => mint({ audience: "egress-proxy" }),
      [...stated, "--keys", keysFile],
      4,
      "CREDENTIAL_REJECTED",
    ],
    [
      "D-01 one of another issuer",
      mint,
      ["--audience", "sandbox-api", "--issuer", "https://auth.other.test", "--keys", keysFile],
      4,
      "CREDENTIAL_REJECTED",
    ],
    ["what is no token", async () => "x", [...stated, "--keys", keysFile], 1, undefined],
    ["no token", async () => "", [...stated, "--keys", keysFile], 2, undefined],
    ["D-02 no audience", mint, ["--issuer", issuer, "--keys", keysFile], 2, undefined],
    ["D-01 no issuer, where no suite is asked", mint, ["--audience", "sandbox-api", "--keys", keysFile], 2, undefined],
    ["a file without keys", mint, [...stated, "--keys", join(import.meta.dirname, "../version.ts")], 2, undefined],
    ["keys over plain http from elsewhere", mint, [...stated, "--keys", "http://keys.example.test/"], 2, undefined],
    ["a suite that does not run", mint, stated, 5, undefined],
  ])("refuses %s", async (_name, token, words, status, reason) => {
    const answer = await verify(await token(), ...words);
    expect(answer).toMatchObject({ status });
    if (reason !== undefined) expect(answer.document).toMatchObject({ error: { reason, exitCode: status } });
    expect(JSON.stringify(answer.document ?? {})).not.toContain("eyJ");
  });

  it("D-07 compares the certificate that it came with", async () => {
    const [own, other] = [await certify("own.pem"), await certify("other.pem")];
    const { sha256, keyThumbprint } = readClientCertificate(own);
    for (const confirmation of [
      { kind: "certificate", sha256 },
      { kind: "key", thumbprint: keyThumbprint },
    ] as const) {
      const token = await mint({ confirmation });
      const withKeys = [...stated, "--keys", keysFile];
      expect(await verify(token, ...withKeys)).toMatchObject({ status: 0, document: { holderChecked: false } });
      expect(await verify(token, ...withKeys, "--certificate", own)).toMatchObject({
        status: 0,
        document: { holderChecked: true },
      });
      expect(await verify(token, ...withKeys, "--certificate", other)).toMatchObject({ status: 4 });
    }
  });
});
