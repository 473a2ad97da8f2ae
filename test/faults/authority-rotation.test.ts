import { createHash, X509Certificate } from "node:crypto";
import { copyFileSync, readFileSync } from "node:fs";
import { AuthService } from "@sandgate/api/auth";
import { PolicyService } from "@sandgate/api/policy";
import { SandboxService } from "@sandgate/api/sandbox";
import {
  type AuthorityKind,
  type CertificateFiles,
  createDevelopmentPki,
  developmentAuthority,
} from "@sandgate/pki/authority";
import { type Channel, createClient, createGrpcChannel, FileCertificateStore, ServiceError } from "@sandgate/rpc";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { createWebChannel } from "../../libs/rpc/src/web/connect-channel.fixture.ts";
import { rotateAuthority, type Verifier } from "../../services/cli/src/pki/rotate-authority.ts";
import {
  type ServiceName,
  startSuite,
  type TestSuite,
  topologies,
  trustDomain,
} from "../integration/suite/start-suite.ts";
import { connect, createTestSandbox, type TestSandbox } from "../integration/suite/test-sandbox.ts";

const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });
const reasonOf = (thrown: unknown): string => (thrown instanceof ServiceError ? thrown.reason : String(thrown));

describe.each(topologies)("the authorities, replaced one after the other, %s", (topology) => {
  let suite: TestSuite;
  /** An operator whose certificate and authorities follow the files, as those of programs do. */
  let store: FileCertificateStore;
  const channels: Channel[] = [];

  const files = (kind: AuthorityKind) => developmentAuthority(suite.pkiOptions.directory, kind, trustDomain);
  const identityOf = ({ certificateFile, keyFile }: CertificateFiles) => ({
    certificatePem: readFileSync(certificateFile, "utf8"),
    keyPem: readFileSync(keyFile, "utf8"),
  });
  const sha256Of = (file: string): string =>
    createHash("sha256")
      .update(new X509Certificate(readFileSync(file)).raw)
      .digest("hex");
  const operatorChannel = (service: ServiceName): Channel => {
    const address = suite.address(service, "mtls");
    const channel = createGrpcChannel({ address, serverName: `${service}.${trustDomain}`, certificates: store });
    channels.push(channel);
    return channel;
  };
  /** The programs, and this test as a client of theirs. */
  const verifiers = (kind: AuthorityKind): readonly Verifier[] => [
    // nobody shows the gateway the certificate of a sandbox or an operator
    ...[...suite.certificates]
      .filter(([name]) => kind === "service" || name !== "gateway")
      .map(([name, certificates]) => ({
        name,
        certificates,
        ownCertificate: async () => sha256Of(suite.pki.services[name].certificateFile),
      })),
    {
      name: "operator",
      certificates: async () => {
        store.reload();
        return { ...store.inUse, authorities: everyAuthority() };
      },
      ownCertificate: async () => sha256Of(suite.pki.operator.certificateFile),
    },
  ];
  /** A client knows the authority of services alone; of the others it knows nothing to follow. */
  const everyAuthority = (): readonly string[] =>
    (["service", "sandbox", "operator"] as const).flatMap((kind) =>
      (readFileSync(files(kind).bundleFile, "utf8").match(/-----BEGIN[^-]*-----[^-]*-----END[^-]*-----/g) ?? []).map(
        (pem) => createHash("sha256").update(new X509Certificate(pem).raw).digest("hex"),
      ),
    );
  const rotate = (kind: AuthorityKind, over: { retireNow?: boolean; oneStep?: boolean } = {}) =>
    rotateAuthority({
      files: files(kind),
      renewLeaves: () => createDevelopmentPki(suite.pkiOptions),
      longestLeafLifeMs: 60_000,
      retireNow: over.retireNow === true,
      oneStep: over.oneStep === true,
      untilAll: async (holds) => {
        for (const verifier of verifiers(kind)) expect(await holds(verifier), verifier.name).toBe(true);
      },
      clock: Date.now,
    });
  /** What a call with this certificate on a new connection is answered. */
  const present = async (identity: { certificatePem: string; keyPem: string }, service: ServiceName = "auth") => {
    const channel = connect(suite, service, suite.address(service, "mtls"), identity);
    try {
      await createClient(AuthService, channel).getPrincipal({}, { timeoutMs: 2_000 });
      return "OK";
    } catch (thrown) {
      return reasonOf(thrown);
    } finally {
      channel.close();
    }
  };

  beforeAll(async () => {
    suite = await startSuite(topology);
    store = new FileCertificateStore({
      caFiles: [suite.pki.serviceAuthority.certificateFile],
      certificateFile: suite.pki.operator.certificateFile,
      keyFile: suite.pki.operator.keyFile,
    });
  });
  afterAll(async () => {
    for (const channel of channels) channel.close();
    store.close();
    await suite.stop();
  });

  it("ADR 0002: no valid certificate is refused meanwhile, on old connections and new ones, and nothing is restarted", async () => {
    const refusals: string[] = [];
    let stage = "before";
    let rounds = 0;
    let over = false;
    const sandboxes = operatorChannel("sandbox");
    const supervised = await createTestSandbox(suite, sandboxes, "supervised");
    const { token } = await createClient(AuthService, operatorChannel("auth")).createUserToken({});
    const once = async (channel: Channel, call: (channel: Channel) => Promise<unknown>): Promise<void> => {
      try {
        await call(channel);
      } finally {
        channel.close();
      }
    };
    let holder: TestSandbox = supervised;
    const users: Readonly<Record<string, () => Promise<unknown>>> = {
      "an operator's open connection": () => createClient(SandboxService, sandboxes).listSandboxes({}),
      "a new connection of an operator": () =>
        once(operatorChannel("policy"), (channel) =>
          createClient(PolicyService, channel).listAuditEvents({ pageSize: 1 }),
        ),
      // Sandbox registers it at Auth: a service calls a service
      "a new sandbox, enrolled": async () => {
        const { id } = await createTestSandbox(suite, sandboxes, `box-${crypto.randomUUID().slice(0, 8)}`);
        await createClient(SandboxService, sandboxes).deleteSandbox({ sandbox: id, requestId: crypto.randomUUID() });
      },
      "a sandbox that renews its certificate": () =>
        once(connect(suite, "auth", suite.socket("auth", holder.id, "control"), holder), async (channel) => {
          const { credentials } = await createClient(AuthService, channel).refreshSandboxToken(
            { sandboxId: holder.id },
            bearer(holder.token),
          );
          const der = credentials?.certificateChain[0];
          if (credentials === undefined || der === undefined) throw new Error("no credentials");
          holder = { ...holder, token: credentials.token, certificatePem: new X509Certificate(der).toString() };
        }),
      "a browser": () =>
        createClient(
          SandboxService,
          createWebChannel({ ...suite.web, protocol: "JSON over HTTP/1.1", ca: suite.serviceCa }),
        ).listSandboxes({}, bearer(token)),
    };
    const load = (async () => {
      while (!over && refusals.length === 0) {
        for (const [who, call] of Object.entries(users))
          await call().catch((thrown: unknown) => refusals.push(`${who}, ${stage}: ${reasonOf(thrown)}`));
        rounds += 1;
      }
    })();
    const someMore = async (): Promise<void> => {
      const before = rounds;
      await vi.waitFor(
        () => {
          expect(refusals).toEqual([]);
          expect(rounds).toBeGreaterThan(before + 2);
        },
        { timeout: 60_000, interval: 50 },
      );
    };
    try {
      await someMore();
      for (const kind of ["service", "sandbox", "operator"] as const) {
        stage = kind;
        const before = readFileSync(files(kind).keyFile, "utf8");
        expect(await rotate(kind, { oneStep: true })).toMatchObject({ stage: "published" });
        await someMore();
        expect(await rotate(kind, { oneStep: true })).toMatchObject({ stage: "issuing" });
        await someMore();
        expect(await rotate(kind, { retireNow: true })).toMatchObject({ stage: "retired" });
        await someMore();
        expect(readFileSync(files(kind).keyFile, "utf8")).not.toBe(before);
      }
    } finally {
      over = true;
      await load;
    }
    expect(refusals).toEqual([]);
  }, 240_000);

  it("ADR 0002: what a retired authority issued is refused, on new connections and on the open one", async () => {
    const former = identityOf(suite.pki.operator);
    const open = connect(suite, "auth", suite.address("auth", "mtls"), former);
    channels.push(open);
    const ask = () => createClient(AuthService, open).getPrincipal({}, { timeoutMs: 2_000 });
    await ask();
    const watching = connect(suite, "sandbox", suite.address("sandbox", "mtls"), former);
    channels.push(watching);
    const watched = await createTestSandbox(suite, watching, "watched");
    const stream = createClient(SandboxService, watching).watchSandbox({ sandbox: watched.id });
    const opened = Promise.withResolvers<void>();
    const cut = (async () => {
      for await (const _ of stream) opened.resolve();
    })().then(() => "ended", reasonOf);
    await opened.promise;
    expect(await rotate("operator")).toMatchObject({ stage: "issuing" });
    await ask();
    expect(await present(former)).toBe("OK");
    expect(await rotate("operator", { retireNow: true })).toMatchObject({ stage: "retired" });
    expect(await present(former)).toBe("UNAVAILABLE");
    expect(await cut).toBe("CREDENTIAL_REJECTED");
    expect(await present(identityOf(suite.pki.operator))).toBe("OK");
    await expect.poll(() => ask().then(() => "OK", reasonOf), { timeout: 10_000, interval: 20 }).toBe("UNAVAILABLE");
  }, 60_000);

  it("goes on where it stopped, and retires the one before when its time has come", async () => {
    expect(await rotate("operator", { oneStep: true })).toMatchObject({ stage: "published" });
    const outcome = await rotate("operator");
    expect(outcome).toMatchObject({ stage: "issuing" });
    expect(await rotate("operator")).toMatchObject({ stage: "issuing", retireAtMs: outcome.retireAtMs });
    await files("operator").retireAt(Date.now() - 1);
    expect(await rotate("operator")).toMatchObject({ stage: "retired", current: outcome.current });
  }, 60_000);

  it("takes no step while a program has not followed the last one", async () => {
    const bundle = files("service").bundleFile;
    const copy = `${bundle}.copy`;
    copyFileSync(bundle, copy);
    const blind: Verifier = { name: "blind", certificates: async () => ({ authorities: [] }) };
    const before = readFileSync(files("service").keyFile, "utf8");
    const rotation = rotateAuthority({
      files: files("service"),
      renewLeaves: () => createDevelopmentPki(suite.pkiOptions),
      longestLeafLifeMs: 60_000,
      retireNow: true,
      oneStep: false,
      untilAll: async (holds) => {
        if (!(await holds(blind))) throw new Error("blind does not follow");
      },
      clock: Date.now,
    });
    await expect(rotation).rejects.toThrow("blind does not follow");
    expect(readFileSync(files("service").keyFile, "utf8")).toBe(before);
  });
});
