import { spawnSync } from "node:child_process";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { importJWK, jwtVerify } from "jose";
import { afterAll, expect, it } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "envelope-sign-"));
afterAll(() => rmSync(folder, { recursive: true }));

function sign(text: string, ...words: readonly string[]) {
  const file = join(folder, "key");
  rmSync(file, { force: true });
  writeFileSync(file, text, { mode: 0o600 });
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [
      join(import.meta.dirname, "../main.ts"),
      ...["envelope", "sign", "--json", "--key", file],
      ...["--issuer", "locate", "--machine", "mlab1.lga03", "--subject", "ndt", ...words],
    ],
    { encoding: "utf8", env: { PATH: "/usr/bin:/bin", HOME: folder, SANDGATE_DIRECTORY: join(folder, "suite") } },
  );
  return { status, stdout, stderr };
}

const ed = generateKeyPairSync("ed25519").privateKey;
const pem = (key: KeyObject) => key.export({ format: "pem", type: "pkcs8" }).toString();

it.each([
  ["a JWK with a kid", JSON.stringify({ ...ed.export({ format: "jwk" }), kid: "1" }), "EdDSA", "1"],
  ["PEM, Ed25519", pem(ed), "EdDSA", undefined],
  ["PEM, P-256", pem(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey), "ES256", undefined],
  ["PEM, RSA", pem(generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey), "RS256", undefined],
])("EW-14: signs with %s what the envelope asks for", async (_, text, algorithm, kid) => {
  const { status, stdout } = sign(text, "--life", "90s", "--client-address", "192.0.2.7");
  expect(status).toBe(0);
  const { token, publicKey } = JSON.parse(stdout);
  expect(publicKey).not.toHaveProperty("d");
  const { payload, protectedHeader } = await jwtVerify(token, await importJWK(publicKey, algorithm), {
    issuer: "locate",
    audience: "mlab1.lga03",
    subject: "ndt",
    algorithms: [algorithm],
    requiredClaims: ["iat", "exp", "jti"],
  });
  expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(90);
  expect(payload["client_ip"]).toBe("192.0.2.7");
  expect(protectedHeader.kid).toBe(kid ?? publicKey.kid);
});

it("refuses what is no private key, and says nothing of it", () => {
  const { status, stdout } = sign("-----BEGIN PRIVATE KEY-----\nsecretsecret\n-----END PRIVATE KEY-----\n");
  expect(status).toBe(2);
  expect(stdout).toContain("holds no private key");
  expect(stdout).not.toContain("secretsecret");
});

it("refuses an address that is none", () => {
  expect(sign(pem(ed), "--client-address", "nowhere").status).toBe(2);
});
