import { readFile } from "node:fs/promises";
import { AuthService, type SandboxCredentials } from "@sandgate/api/auth";
import { PolicyService } from "@sandgate/api/policy";
import { SandboxService } from "@sandgate/api/sandbox";
import { createKeyPair, type KeyPair } from "@sandgate/pki";
import { type CertificateFiles, loadCertificateAuthority } from "@sandgate/pki/authority";
import { type Channel, type Client, createClient, createHttp2Channel, ServiceError } from "@sandgate/rpc";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { CredentialKeeper } from "../../../services/supervisor/src/identity/credential-keeper.ts";
import { CredentialSlot } from "../../../services/supervisor/src/identity/credential-slot.ts";
import { watchRefusals } from "../../../services/supervisor/src/identity/refusal-watch.ts";
import { systemTimers } from "../../../services/supervisor/src/timers.ts";
import { startSuite, type TestSuite, trustDomain, users } from "../../integration/suite/start-suite.ts";
import { connect } from "../../integration/suite/test-sandbox.ts";
import { type Cut, FaultyLink } from "./faulty-link.ts";

let suite: TestSuite;
let operator: Client<typeof SandboxService>;
let admin: Client<typeof AuthService>;
let clockMs = 0;
const open: (() => void | Promise<void>)[] = [];

beforeAll(async () => {
  suite = await startSuite("over mutual TLS", { clock: () => Date.now() + clockMs });
  const identity = await adminIdentity(suite);
  const keep = (channel: Channel): Channel => {
    open.push(() => channel.close());
    return channel;
  };
  operator = createClient(SandboxService, keep(connect(suite, "sandbox", suite.address("sandbox", "mtls"), identity)));
  admin = createClient(AuthService, keep(connect(suite, "auth", suite.address("auth", "mtls"), identity)));
});
afterEach(() => {
  clockMs = 0;
});
afterAll(async () => {
  for (const close of open) await close();
  await suite.stop();
});

/** A supervisor's own credential parts, behind links that a test breaks. */
class Supervisor {
  readonly sandboxId: string;
  readonly slot: CredentialSlot;
  readonly keeper: CredentialKeeper;
  readonly auth: Client<typeof AuthService>;
  readonly links: { readonly mtls: FaultyLink; readonly edge: FaultyLink };
  readonly rejoins = { count: 0 };
  readonly #stop = new AbortController();
  readonly #channels: Channel[];
  #keeping: Promise<void> | undefined;

  private constructor(sandboxId: string, keys: KeyPair, links: Supervisor["links"]) {
    this.sandboxId = sandboxId;
    this.links = links;
    this.slot = new CredentialSlot(keys);
    const { slot } = this;
    const serverName = `auth.${trustDomain}`;
    const ca = suite.serviceCa;
    const edge = createHttp2Channel({ address: links.edge.address, serverName, tls: () => ({ ca }) });
    const mtls = createHttp2Channel({
      address: links.mtls.address,
      serverName,
      tls: () => ({
        ca,
        key: slot.privateKey,
        ...(slot.session === undefined ? {} : { cert: slot.session.certificate }),
      }),
      headers: (): Record<string, string> =>
        slot.session === undefined ? {} : { authorization: `Bearer ${slot.session.token}` },
    });
    this.#channels = [edge, mtls];
    this.auth = createClient(AuthService, watchRefusals(mtls, slot));
    this.keeper = new CredentialKeeper({
      sandboxId,
      slot,
      enrolment: createClient(AuthService, edge),
      auth: this.auth,
      timers: systemTimers,
      random: () => 0,
      logger: { info: () => {}, warn: () => {}, error: () => {} },
      onRejoin: () => {
        this.rejoins.count += 1;
        mtls.renew();
      },
    });
  }

  static async start(sandboxId: string, keys = createKeyPair()): Promise<Supervisor> {
    const [mtls, edge] = await Promise.all([
      FaultyLink.open(suite.address("auth", "mtls")),
      FaultyLink.open(suite.address("auth", "edge")),
    ]);
    const supervisor = new Supervisor(sandboxId, keys, { mtls, edge });
    open.unshift(() => supervisor.stop());
    return supervisor;
  }

  get token(): string {
    return this.slot.session?.token ?? "";
  }

  keep(): void {
    this.#keeping = this.keeper.keepSession(this.#stop.signal);
  }

  /** Renews as the loop does when its time has come. */
  renewNow(): void {
    this.slot.refuseSession(this.slot.session);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#keeping;
    for (const channel of this.#channels) channel.close();
    await Promise.all([this.links.mtls.close(), this.links.edge.close()]);
  }
}

async function enrolled(name: string): Promise<Supervisor> {
  const { sandbox } = await operator.createSandbox({ requestId: crypto.randomUUID(), name });
  const start = await suite.driver.startOf(sandbox?.id ?? "");
  const supervisor = await Supervisor.start(start.sandboxId);
  await supervisor.keeper.enrol(() => start.bootstrapToken, AbortSignal.timeout(20_000));
  await supervisor.auth.getPrincipal({});
  supervisor.keep();
  return supervisor;
}

const patience = { timeout: 15_000, interval: 10 };
const idOf = (token: string): string =>
  JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8")).jti;

/** The sandbox's audit records of one kind, oldest first. */
async function recordsOf(sandboxId: string, action: string) {
  const { events } = await admin.listAuditEvents({ sandboxId, action, pageSize: 100 });
  return events.map(({ details }) => details).reverse();
}

async function reasonOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "OK";
  } catch (thrown) {
    if (thrown instanceof ServiceError) return thrown.reason;
    throw thrown;
  }
}

/** Refreshes with a token, over a new connection with some key's certificate. */
async function refreshAs(
  token: string,
  sandboxId: string,
  holder: { readonly certificate: string; readonly privateKey: string },
): Promise<{ readonly reason: string; readonly credentials?: SandboxCredentials | undefined }> {
  const identity = { certificatePem: holder.certificate, keyPem: holder.privateKey };
  const channel = connect(suite, "auth", suite.address("auth", "mtls"), identity);
  try {
    let credentials: SandboxCredentials | undefined;
    const call = createClient(AuthService, channel)
      .refreshSandboxToken({ sandboxId }, { headers: { authorization: `Bearer ${token}` } })
      .then((answer) => {
        ({ credentials } = answer);
      });
    return { reason: await reasonOf(call), credentials };
  } finally {
    channel.close();
  }
}

const cuts: readonly Cut[] = [
  ...[0, 1, 30, 100, 300, 700, 1_200].map((afterBytes) => ({ direction: "answer", afterBytes }) as const),
  ...[0, 1, 40, 200].map((afterBytes) => ({ direction: "request", afterBytes }) as const),
];

describe("a refresh whose connection breaks", { timeout: 60_000 }, () => {
  it.each(cuts.map((cut, index) => [cut.direction, cut.afterBytes, cut, index] as const))(
    "G-13 strands nobody, and makes one successor: cut in the %s after %d bytes",
    async (_direction, _bytes, cut, index) => {
      const supervisor = await enrolled(`cut-${index}`);
      const before = supervisor.token;
      supervisor.links.mtls.arm(cut);
      supervisor.renewNow();
      await vi.waitFor(() => expect(supervisor.token).not.toBe(before), patience);
      expect(supervisor.links.mtls.cuts).toBe(1);
      expect(await reasonOf(supervisor.auth.getPrincipal({}))).toBe("OK");
      expect(supervisor.rejoins.count).toBe(0);
      expect(await recordsOf(supervisor.sandboxId, "token.refreshed")).toMatchObject([
        { superseded_token_id: idOf(before), token_id: idOf(supervisor.token) },
      ]);
    },
  );

  it("G-13 strands nobody when the answer is lost in silence", async () => {
    const supervisor = await enrolled("silence");
    const before = supervisor.token;
    supervisor.links.mtls.fallSilent();
    supervisor.renewNow();
    await vi.waitFor(
      async () => expect(await recordsOf(supervisor.sandboxId, "token.refreshed")).toHaveLength(1),
      patience,
    );
    expect(supervisor.token).toBe(before);
    supervisor.links.mtls.speak();
    await vi.waitFor(() => expect(supervisor.token).not.toBe(before), patience);
    expect(await recordsOf(supervisor.sandboxId, "token.refreshed")).toMatchObject([
      { token_id: idOf(supervisor.token) },
    ]);
    expect(supervisor.rejoins.count).toBe(0);
  });

  it("G-13, G-16 the same key gets the same successor within 30 s, and nothing after; another key gets nothing at any time", async () => {
    const [supervisor, other] = [await enrolled("same-key"), await enrolled("other-key")];
    const { sandboxId, slot } = supervisor;
    const before = slot.session;
    if (before === undefined || other.slot.session === undefined) throw new Error("they are enrolled");
    const own = { certificate: before.certificate, privateKey: slot.privateKey };
    const foreign = { certificate: other.slot.session.certificate, privateKey: other.slot.privateKey };
    const first = await refreshAs(before.token, sandboxId, own);
    expect(first.reason).toBe("OK");
    expect(await refreshAs(before.token, sandboxId, own)).toEqual(first);
    for (const sandbox of [sandboxId, other.sandboxId])
      expect(await refreshAs(before.token, sandbox, foreign)).toMatchObject({ reason: "CREDENTIAL_REJECTED" });
    clockMs = 31_000;
    await vi.waitFor(
      async () => expect((await refreshAs(before.token, sandboxId, own)).reason).toBe("CREDENTIAL_REVOKED"),
      patience, // until trust, which has aged with the clock, was heard again
    );
    // its supervisor, which never got the successor, rejoins with its key
    supervisor.renewNow();
    await vi.waitFor(() => expect(supervisor.rejoins.count).toBe(1), patience);
    await vi.waitFor(async () => expect(await reasonOf(supervisor.auth.getPrincipal({}))).toBe("OK"), patience);
  });
});

describe("a replayed token", { timeout: 60_000 }, () => {
  it("G-16 is refused everywhere: refreshed, from another certificate, for another audience, after delete", async () => {
    const [supervisor, thief] = [await enrolled("victim"), await enrolled("thief")];
    const { sandboxId, slot } = supervisor;
    const [before, stranger] = [slot.session, thief.slot.session];
    if (before === undefined || stranger === undefined) throw new Error("they are enrolled");
    const { token: egressToken } = await supervisor.auth.issueEgressToken({ sandboxId });
    const as = async (certificate: string, privateKey: string, token: string): Promise<readonly string[]> => {
      const identity = { certificatePem: certificate, keyPem: privateKey };
      const call = { headers: { authorization: `Bearer ${token}` } };
      const channels = (["auth", "sandbox", "policy"] as const).map((service) =>
        connect(suite, service, suite.address(service, "mtls"), identity),
      );
      const [auth, sandbox, policy] = channels;
      if (auth === undefined || sandbox === undefined || policy === undefined) throw new Error("there are three");
      try {
        return await Promise.all(
          [
            createClient(AuthService, auth).getPrincipal({}, call),
            createClient(AuthService, auth).issueEgressToken({ sandboxId }, call),
            createClient(SandboxService, sandbox).getSandboxConfig({ sandboxId }, call),
            createClient(PolicyService, policy).getInferenceBundle({ sandbox: sandboxId }, call),
          ].map(reasonOf),
        );
      } finally {
        for (const channel of channels) channel.close();
      }
    };
    const everywhere = (reason: string) => Array.from({ length: 4 }, () => reason);
    expect(await as(before.certificate, slot.privateKey, before.token)).toEqual(everywhere("OK"));
    expect(await as(stranger.certificate, thief.slot.privateKey, before.token)).toEqual(
      everywhere("CREDENTIAL_REJECTED"),
    );
    expect(await as(before.certificate, slot.privateKey, egressToken)).toEqual(everywhere("CREDENTIAL_REJECTED"));
    supervisor.renewNow();
    await vi.waitFor(() => expect(supervisor.token).not.toBe(before.token), patience);
    await vi.waitFor(
      async () =>
        expect(await as(before.certificate, slot.privateKey, before.token)).toEqual(everywhere("CREDENTIAL_REVOKED")),
      1_000,
    );
    const last = slot.session ?? before;
    await operator.deleteSandbox({ sandbox: sandboxId, requestId: crypto.randomUUID() });
    await vi.waitFor(
      async () =>
        expect(await as(last.certificate, slot.privateKey, last.token)).toEqual(everywhere("CREDENTIAL_REVOKED")),
      patience,
    );
  });
});

describe("a cloned memory image", { timeout: 60_000 }, () => {
  it("G-13 two supervisors with one key are found out by the count of rejoins, and both are revoked", async () => {
    const original = await enrolled("cloned");
    const { sandboxId } = original;
    const image = original.slot.session;
    if (image === undefined) throw new Error("it is enrolled");
    const clone = await Supervisor.start(sandboxId, original.slot.keys);
    clone.slot.session = { ...image };
    // the original goes on; the clone's token is too old by the time that it refreshes
    original.renewNow();
    await vi.waitFor(() => expect(original.token).not.toBe(image.token), patience);
    clockMs = 31_000;
    clone.keep();
    await vi.waitFor(async () => {
      clone.renewNow();
      expect(clone.rejoins.count).toBe(1);
    }, patience);
    // the clone is in; the original's next call, whatever it is, begins the discovery
    await vi.waitFor(async () => {
      await reasonOf(original.auth.getPrincipal({}));
      expect(await recordsOf(sandboxId, "sandbox.key_cloned")).toMatchObject([{ rejoin_count: "1" }]);
    }, patience);
    for (const supervisor of [original, clone])
      await vi.waitFor(
        async () => expect(await reasonOf(supervisor.auth.getPrincipal({}))).toBe("CREDENTIAL_REVOKED"),
        patience,
      );
    expect(original.rejoins.count).toBe(0);
  });
});

async function adminIdentity(of: TestSuite) {
  const pem = async (files: CertificateFiles) => ({
    certificatePem: await readFile(files.certificateFile, "utf8"),
    keyPem: await readFile(files.keyFile, "utf8"),
  });
  const authority = await loadCertificateAuthority(await pem(of.pki.operatorAuthority));
  const { publicKey, privateKey } = createKeyPair();
  const now = Date.now();
  const user = { trustDomain, userId: users.admin, publicKey, notAfter: now + 3_600_000, now };
  const leaf = await authority.issueOperatorCertificate(user);
  return { certificatePem: leaf.pem, keyPem: privateKey.export({ type: "pkcs8", format: "pem" }).toString() };
}
