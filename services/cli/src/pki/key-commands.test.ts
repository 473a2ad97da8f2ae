import { spawnSync } from "node:child_process";
import { createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { isIssuedBy, jwkThumbprint, keyThumbprint } from "@sandgate/pki";
import { afterAll, describe, expect, it, vi } from "vitest";

vi.setConfig({ testTimeout: 60_000 }); // each runs the command line several times

const folder = mkdtempSync(join(tmpdir(), "key-commands-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (...names: string[]): string => join(folder, ...names);

function sandgate(...words: readonly string[]) {
  const main = resolve(import.meta.dirname, "../main.ts");
  return spawnSync(process.execPath, [main, ...words], {
    encoding: "utf8",
    env: { PATH: "/usr/bin:/bin", HOME: folder, SANDGATE_DIRECTORY: at("suite") },
  });
}

/** Every file below a directory, with what it holds and its mode. */
const contents = (directory: string) =>
  Object.fromEntries(
    readdirSync(directory, { recursive: true, encoding: "utf8" })
      .filter((name) => statSync(join(directory, name)).isFile())
      .toSorted()
      .map((name) => {
        const path = join(directory, name);
        return [name, { text: readFileSync(path, "utf8"), mode: statSync(path).mode & 0o777 }];
      }),
  );

describe("sandgate keygen", () => {
  it("S0-01, S0-02 makes an ES256 pair whose public half is PEM, JWK and JWKS under its RFC 7638 thumbprint", () => {
    const { status, stdout } = sandgate("keygen", "--out", at("keys"), "--json");
    expect(status).toBe(0);
    const files = contents(at("keys"));
    const jwk = JSON.parse(files["egress-signing.jwk.json"]?.text ?? "");
    expect(Object.keys(jwk)).toEqual(["kty", "crv", "x", "y", "use", "kid"]);
    expect(jwk).toMatchObject({ kty: "EC", crv: "P-256", use: "sig", kid: jwkThumbprint(jwk) });
    for (const coordinate of [jwk.x, jwk.y]) {
      expect(coordinate).toMatch(/^[A-Za-z0-9_-]{43}$/);
      expect(Buffer.from(coordinate, "base64url")).toHaveLength(32);
    }
    expect(JSON.parse(files["egress-signing.jwks.json"]?.text ?? "")).toEqual({ keys: [jwk] });
    const privateKey = createPrivateKey(files["egress-signing.pem"]?.text ?? "");
    expect(keyThumbprint(privateKey)).toBe(jwk.kid);
    expect(keyThumbprint(createPublicKey(files["egress-signing.public.pem"]?.text ?? ""))).toBe(jwk.kid);
    expect(JSON.parse(stdout)).toEqual({ created: true, directory: at("keys"), jwk });
  });

  it("D-12 lets nobody else read the private key, and prints it nowhere", () => {
    const { stdout, stderr } = sandgate("keygen", "--out", at("private"));
    const file = at("private", "egress-signing.pem");
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const secret = createPrivateKey(readFileSync(file)).export({ format: "jwk" }).d ?? "none";
    expect(stdout + stderr).not.toContain(secret);
    expect(stdout + stderr).not.toContain("PRIVATE");
  });

  it("D-12 never overwrites: it keeps the key that is there, and refuses a file that is none or that others can read", () => {
    sandgate("keygen", "--out", at("kept"));
    const before = contents(at("kept"));
    expect(JSON.parse(sandgate("keygen", "--out", at("kept"), "--json").stdout)).toMatchObject({ created: false });
    expect(contents(at("kept"))).toEqual(before);
    chmodSync(at("kept", "egress-signing.pem"), 0o644);
    expect(sandgate("keygen", "--out", at("kept")).status).toBe(2);
    const other = at("kept", "egress-signing.pem");
    writeFileSync(other, "something else\n");
    chmodSync(other, 0o600);
    expect(sandgate("keygen", "--out", at("kept")).status).toBe(2);
    expect(readFileSync(other, "utf8")).toBe("something else\n");
  });
});

describe("sandgate certgen", () => {
  it("G-07 writes authorities, service certificates and jwt/, secrets with 0600; twice changes nothing", () => {
    expect(JSON.parse(sandgate("certgen", "--out", at("local"), "--json").stdout)).toMatchObject({ changed: true });
    const files = contents(at("local"));
    const names = Object.keys(files);
    for (const name of [
      "service-ca.pem",
      "auth.pem",
      "jwt/signing.pem",
      "jwt/public.pem",
      "jwt/kid",
      "jwt/sealing.key",
    ])
      expect(names).toContain(name);
    for (const [name, { mode, text }] of Object.entries(files))
      if (name.startsWith("jwt/") || text.includes("PRIVATE")) expect([name, mode]).toEqual([name, 0o600]);
    expect(keyThumbprint(createPublicKey(files["jwt/public.pem"]?.text ?? ""))).toBe(files["jwt/kid"]?.text.trim());
    expect(JSON.parse(sandgate("certgen", "--out", at("local"), "--json").stdout)).toMatchObject({
      changed: false,
      written: [],
    });
    expect(contents(at("local"))).toEqual(files);
  });

  it("G-07 writes a release's Secrets as manifests, without the keys of the authorities that stay outside", () => {
    expect(sandgate("certgen", "--out", at("cluster"), "--kubernetes", "demo").status).toBe(0);
    const path = at("cluster", "demo-secrets.json");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const text = readFileSync(path, "utf8");
    const { items } = JSON.parse(text) as {
      items: { kind: string; type?: string; metadata: { name: string }; data: Record<string, string> }[];
    };
    const find = (name: string) => items.find(({ metadata }) => metadata.name === name);
    expect(Object.keys(find("demo-jwt-keys")?.data ?? {})).toEqual([
      "signing.pem",
      "public.pem",
      "kid",
      "egress-signing.pem",
      "sealing.key",
    ]);
    const tls = find("demo-auth-tls");
    expect(tls?.type).toBe("kubernetes.io/tls");
    const leaf = new X509Certificate(Buffer.from(tls?.data["tls.crt"] ?? "", "base64"));
    expect(leaf.checkPrivateKey(createPrivateKey(Buffer.from(tls?.data["tls.key"] ?? "", "base64")))).toBe(true);
    expect(isIssuedBy(leaf.raw, find("demo-authorities")?.data["service-ca.pem"] ?? "")).toBe(true);
    for (const authority of ["service", "operator"]) {
      const key = readFileSync(at("cluster", `${authority}-ca.key.pem`));
      expect(text).not.toContain(key.toString("base64"));
    }
    const before = contents(at("cluster"));
    sandgate("certgen", "--out", at("cluster"), "--kubernetes", "demo");
    expect(contents(at("cluster"))).toEqual(before);
  });

  it("refuses a release or a user id that is none", () => {
    expect(sandgate("certgen", "--out", at("bad"), "--kubernetes", "../x").status).toBe(2);
    expect(sandgate("certgen", "--out", at("bad"), "--operator-user", "me").status).toBe(2);
  });
});

describe("sandgate pki show", () => {
  it("says what the certificates of a file say, and refuses what is none", () => {
    sandgate("certgen", "--out", at("shown"));
    const { status, stdout } = sandgate("pki", "show", at("shown", "operator.pem"), "--json");
    expect(status).toBe(0);
    expect(JSON.parse(stdout).certificates).toMatchObject([
      {
        authority: false,
        spiffeId: expect.stringContaining("/user/"),
        serial: expect.stringMatching(/^[0-9a-f]{32}$/),
      },
    ]);
    expect(sandgate("pki", "show", at("shown", "operator.key.pem")).status).toBe(2);
  });
});
