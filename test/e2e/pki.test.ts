import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AuthService } from "@sandgate/api/auth";
import { Role } from "@sandgate/api/options";
import { SandboxService } from "@sandgate/api/sandbox";
import { createCertificateAuthority } from "@sandgate/pki/authority";
import { CertificateStore, type Channel, createClient, createGrpcChannel, ServiceError } from "@sandgate/rpc";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { SuiteDirectory } from "./suite-directory.fixture.ts";

let suite: SuiteDirectory;
const channels: Channel[] = [];

beforeAll(async () => {
  suite = new SuiteDirectory();
  await suite.json("up");
  const [sandbox] = await suite.json("create", "box");
  expect(sandbox).toMatchObject({ phase: "PHASE_READY" });
}, 120_000);
afterAll(async () => {
  for (const channel of channels) channel.close();
  await suite.remove();
}, 60_000);

const pki = (name: string): string => join(suite.path, "pki", name);
const reasonOf = (thrown: unknown): string => (thrown instanceof ServiceError ? thrown.reason : String(thrown));

/** As a program that was given these files. */
function connect(certificateFile: string, keyFile: string): Channel {
  const { addresses } = JSON.parse(readFileSync(join(suite.path, "client.json"), "utf8")) as {
    addresses: { auth: string };
  };
  const read = (file: string): string => readFileSync(file, "utf8");
  const channel = createGrpcChannel({
    address: addresses.auth,
    serverName: "auth.sandgate.local",
    certificates: new CertificateStore({
      ca: read(pki("service-ca.pem")),
      certificate: read(certificateFile),
      key: read(keyFile),
    }),
  });
  channels.push(channel);
  return channel;
}

/** A command in the sandbox: the supervisor reaches the control plane. */
const echo = async (): Promise<string> => {
  const { exitCode, stdout, stderr } = await suite.sandgate(["exec", "--no-stdin", "box", "--", "echo", "here"]);
  return exitCode === 0 ? stdout.trim() : stderr;
};
const restart = async (): Promise<void> => {
  expect((await suite.sandgate(["down", "--keep"])).exitCode).toBe(0);
  await suite.json("up");
};

describe("an operator's certificate", () => {
  it("is issued for who asks, with a key that is only in its file, and opens what the role opens", async () => {
    const { exitCode, stdout, stderr } = await suite.sandgate([
      "pki",
      "operator",
      "ci",
      "--role",
      "operator",
      "--json",
    ]);
    expect(exitCode).toBe(0);
    const { certificateFile, keyFile } = JSON.parse(stdout) as { certificateFile: string; keyFile: string };
    expect(statSync(keyFile).mode & 0o777).toBe(0o600);
    expect(stdout + stderr).not.toContain(readFileSync(keyFile, "utf8").split("\n")[1]);
    const { authenticator, subject } = await createClient(AuthService, connect(certificateFile, keyFile)).getPrincipal(
      {},
    );
    expect({ authenticator, subject }).toMatchObject({
      authenticator: "operator-certificate",
      subject: { value: { name: "ci", role: Role.OPERATOR } },
    });
    const [list] = await suite.json("pki", "ls");
    expect(list?.["certificates"]).toMatchObject([{ name: "ci", role: "ROLE_OPERATOR" }]);
    expect((await suite.sandgate(["pki", "operator", "ci", "--role", "operator"])).exitCode).toBe(2);
    expect((await suite.sandgate(["pki", "operator", "../x"])).exitCode).toBe(2);
    const elsewhere = join(suite.path, "elsewhere");
    expect((await suite.sandgate(["pki", "operator", "ci", "--out", elsewhere])).exitCode).toBe(1);
    expect(statSync(join(elsewhere, "ci.key.pem"), { throwIfNoEntry: false })).toBeUndefined();
  }, 60_000);

  it("G-15 is refused within a second of `sandgate pki revoke`, and what it opened is cut", async () => {
    const channel = connect(pki("operators/ci.pem"), pki("operators/ci.key.pem"));
    const sandboxes = createClient(SandboxService, channel);
    const opened = Promise.withResolvers<void>();
    const cut = (async () => {
      for await (const _ of sandboxes.watchSandbox({ sandbox: "box" })) opened.resolve();
    })().then(() => "ended", reasonOf);
    await opened.promise;
    await suite.json("pki", "revoke", "ci", "--reason", "a test");
    const revokedAt = performance.now();
    expect(
      await createClient(AuthService, channel)
        .getPrincipal({})
        .then(() => "OK", reasonOf),
    ).toBe("CREDENTIAL_REVOKED");
    expect(await cut).toBe("CREDENTIAL_REVOKED");
    expect(performance.now() - revokedAt).toBeLessThan(1_000);
    const events = await suite.json("audit", "--action", "operator_certificate.revoked");
    expect(events).toMatchObject([{ details: { reason: "a test" } }]);
    await restart();
    const again = connect(pki("operators/ci.pem"), pki("operators/ci.key.pem"));
    expect(
      await createClient(AuthService, again)
        .getPrincipal({})
        .then(() => "OK", reasonOf),
    ).toBe("CREDENTIAL_REVOKED");
    expect((await suite.sandgate(["pki", "revoke", "nobody"])).exitCode).toBe(3);
  }, 60_000);
});

describe("a suite that goes on running", () => {
  it("ADR 0002 has its service authority replaced under it; sandboxes follow", async () => {
    const before = readFileSync(pki("service-ca.pem"), "utf8");
    expect(await suite.json("pki", "rotate", "service", "--step")).toMatchObject([{ stage: "published" }]);
    expect(await suite.json("pki", "rotate", "service")).toMatchObject([{ stage: "issuing" }]);
    expect(await echo()).toBe("here");
    expect(await suite.json("pki", "rotate", "service", "--now")).toMatchObject([{ stage: "retired" }]);
    expect(readFileSync(pki("service-ca.pem"), "utf8")).not.toContain(before.split("\n")[1]);
    // every connection is opened anew, the supervisor's too, which trusts the new authority alone
    await restart();
    expect(await echo()).toBe("here");
  }, 120_000);

  it("ADR 0002 has its sandbox authority replaced under it: the next certificates are the new one's", async () => {
    expect(await suite.json("pki", "rotate", "sandbox")).toMatchObject([{ stage: "issuing" }]);
    expect(await echo()).toBe("here");
    expect(await suite.json("create", "young")).toMatchObject([{ phase: "PHASE_READY" }]);
  }, 60_000);

  it("ADR 0002 G-14: a sandbox whose authority is retired at once rejoins by its key, and goes on", async () => {
    const rejoins = async () => (await suite.json("audit", "--action", "sandbox.rejoined")).length;
    const before = await rejoins();
    expect(await suite.json("pki", "rotate", "sandbox", "--now")).toMatchObject([{ stage: "retired" }]);
    await vi.waitFor(async () => expect(await echo()).toBe("here"), { timeout: 20_000, interval: 50 });
    expect(await rejoins()).toBeGreaterThan(before);
    const [box] = await suite.json("get", "box");
    expect(box).toMatchObject({ phase: "PHASE_READY", incarnation: "1" });
  }, 60_000);

  it("ADR 0007 gives living sandboxes what was published while no service ran", async () => {
    const before = readFileSync(pki("service-ca.pem"), "utf8");
    const next = await createCertificateAuthority({ commonName: "the next", notAfter: Date.now() + 3_600_000 });
    const published = before + next.certificatePem; // behind the one that issues
    expect((await suite.sandgate(["down", "--keep"])).exitCode).toBe(0);
    writeFileSync(pki("service-ca.pem"), published);
    const [up = {}] = await suite.json("up");
    const { runtime } = up["directories"] as { runtime: string }; // as `up` prints it
    const copies = (): readonly string[] =>
      readdirSync(runtime, { recursive: true, encoding: "utf8" })
        .filter((path) => path.endsWith("/service-ca.pem"))
        .map((path) => readFileSync(join(runtime, path), "utf8"));
    await vi.waitFor(() => expect(new Set(copies())).toEqual(new Set([published])), { timeout: 10_000, interval: 20 });
    await vi.waitFor(async () => expect(await echo()).toBe("here"), { timeout: 10_000, interval: 100 });
    writeFileSync(pki("service-ca.pem"), before);
    await restart();
  });

  it("gets certificates that are missing or run out from `sandgate up`, though it runs", async () => {
    rmSync(pki("policy.pem"));
    expect(await suite.json("up")).toMatchObject([{ alreadyRunning: true }]);
    expect(readFileSync(pki("policy.pem"), "utf8")).toContain("BEGIN CERTIFICATE");
  }, 60_000);

  it("ADR 0004 has its signing keys sealed anew, and opens them after a restart", async () => {
    const file = join(suite.path, "keys/sealing.key");
    const before = readFileSync(file, "utf8");
    expect(await suite.json("keys", "reseal")).toMatchObject([{ resealed: 6 }]);
    expect(readFileSync(file, "utf8")).not.toBe(before);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    await restart();
    expect((await suite.sandgate(["token"])).exitCode).toBe(0);
  }, 60_000);
});
