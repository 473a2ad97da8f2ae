import { sign } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { DescMethod, MessageInitShape } from "@bufbuild/protobuf";
import { AuthService, type RejoinSandboxRequestSchema } from "@sandgate/api/auth";
import { PolicyService } from "@sandgate/api/policy";
import { Phase, type Sandbox, SandboxService } from "@sandgate/api/sandbox";
import type { CertificateFiles } from "@sandgate/pki/authority";
import { type Channel, createClient, ServiceError } from "@sandgate/rpc";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { callOutcome } from "./attack-matrix/call-outcome.ts";
import { startTestSupervisor, type TestSupervisor } from "./attack-matrix/test-supervisor.ts";
import { type ServiceName, startSuite, type TestSuite, topologies } from "./suite/start-suite.ts";
import {
  connect,
  createTestSandbox,
  enrolmentChannel,
  enrolTestSandbox,
  type TestSandbox,
} from "./suite/test-sandbox.ts";

/** Asks to come back with the key that a sandbox has enrolled. */
async function rejoin(enrol: Channel, { id, keys }: TestSandbox): Promise<string> {
  const challenged = Promise.withResolvers<Uint8Array>();
  async function* steps(): AsyncGenerator<MessageInitShape<typeof RejoinSandboxRequestSchema>> {
    yield { step: { case: "sandboxId", value: id } };
    const said = Buffer.concat([Buffer.from(`sandgate rejoin\n${id}\n`), await challenged.promise]);
    const proof = sign("sha256", said, { key: keys.privateKey, dsaEncoding: "ieee-p1363" });
    yield { step: { case: "proof", value: proof }, rejoinCount: 1n };
  }
  try {
    for await (const { step } of createClient(AuthService, enrol).rejoinSandbox(steps(), { timeoutMs: 10_000 }))
      if (step.case === "challenge") challenged.resolve(step.value);
    return "OK";
  } catch (error) {
    if (error instanceof ServiceError) return error.reason;
    throw error;
  }
}

describe.each(topologies)("a sandbox that is stopped and started again, %s", (topology) => {
  let suite: TestSuite;
  let operator: Channel;
  let proxy: Channel;
  let sandboxService: Channel;
  const channels: Channel[] = [];
  const supervisors: TestSupervisor[] = [];
  const kept = (channel: Channel): Channel => {
    channels.push(channel);
    return channel;
  };
  const dial = async (service: ServiceName, files: CertificateFiles): Promise<Channel> =>
    kept(
      connect(suite, service, suite.address(service, "mtls"), {
        certificatePem: await readFile(files.certificateFile, "utf8"),
        keyPem: await readFile(files.keyFile, "utf8"),
      }),
    );
  /** The network's way to a service, with a sandbox's own certificate: also while its sockets are closed. */
  const asSandbox = (service: ServiceName, sandbox: TestSandbox): Channel =>
    kept(connect(suite, service, suite.address(service, "mtls"), sandbox));
  const reach = async (id: string, phase: Phase): Promise<Sandbox> => {
    const watched = createClient(SandboxService, operator).watchSandbox({ sandbox: id }, { timeoutMs: 20_000 });
    for await (const { sandbox } of watched) if (sandbox?.phase === phase) return sandbox;
    throw new Error("the sandbox has gone");
  };
  const ask = (kind: "stopSandbox" | "startSandbox", sandbox: string) =>
    createClient(SandboxService, operator)[kind]({ sandbox, requestId: crypto.randomUUID() });

  beforeAll(async () => {
    suite = await startSuite(topology);
    operator = await dial("sandbox", suite.pki.operator);
    proxy = await dial("policy", suite.pki.services["egress-proxy"]);
    // all in one there is one program, and its certificate is no other service's
    sandboxService = await dial("auth", suite.pki.services.sandbox);
  });
  afterAll(async () => {
    await Promise.all(supervisors.map((supervisor) => supervisor.stop()));
    for (const channel of channels) channel.close();
    await suite.stop();
  });

  it("has a new identity, and whatever the one before held is refused (D-10, G-15)", async () => {
    const first = await createTestSandbox(suite, operator, "again");
    const { id } = first;
    await createClient(PolicyService, proxy).reportPolicyStatus({ enforcements: [{ sandboxId: id, revision: 1n }] });
    const control = kept(connect(suite, "sandbox", suite.socket("sandbox", id, "control"), first));
    const supervisor = startTestSupervisor(first, control);
    supervisors.push(supervisor);
    await reach(id, Phase.READY);
    // a bootstrap of the first incarnation that nobody has used
    const { token: leftover } = await createClient(AuthService, sandboxService).createBootstrapCredential({
      sandboxId: id,
      incarnation: 1n,
    });
    const auth = asSandbox("auth", first);
    const held = { authorization: `Bearer ${first.token}` };
    const outcome = (by: Channel, method: DescMethod, request: object, headers: Record<string, string> = held) =>
      callOutcome(by, method, [{ ...request }], headers);
    const { getPrincipal, refreshSandboxToken, issueEgressToken, issueSandboxToken } = AuthService.method;
    expect(await outcome(auth, getPrincipal, {})).toBe("OK");

    const refused = async (sandbox: TestSandbox, token: string): Promise<void> => {
      const by = asSandbox("auth", sandbox); // a connection of its own: nothing is remembered of another one
      const headers = { authorization: `Bearer ${token}` };
      for (const method of [getPrincipal, refreshSandboxToken, issueEgressToken])
        expect([method.name, await outcome(by, method, { sandboxId: id }, headers)]).toEqual([
          method.name,
          "CREDENTIAL_REVOKED",
        ]);
      const { getSandboxConfig, connectSupervisor } = SandboxService.method;
      const there = asSandbox("sandbox", sandbox);
      expect(await outcome(there, getSandboxConfig, { sandboxId: id }, headers)).toBe("CREDENTIAL_REVOKED");
      const hello = { sandboxId: id, message: { case: "hello", value: { incarnation: 1n } } };
      expect(await outcome(there, connectSupervisor, hello, headers)).toBe("CREDENTIAL_REVOKED");
    };

    await ask("stopSandbox", "again");
    await reach(id, Phase.STOPPED);
    await supervisor.stop();
    await vi.waitFor(async () => expect(await outcome(auth, getPrincipal, {})).toBe("CREDENTIAL_REVOKED"), 5_000);
    await refused(first, first.token);

    await ask("startSandbox", "again");
    const second = await enrolTestSandbox(suite, first);
    expect(second.incarnation).toBe(2n);
    supervisors.push(
      startTestSupervisor(second, kept(connect(suite, "sandbox", suite.socket("sandbox", id, "control"), second))),
    );
    expect(await reach(id, Phase.READY)).toMatchObject({ incarnation: 2n, name: "again" });

    await refused(first, first.token);
    await refused(first, second.token); // the new token under the old key's certificate
    const enrol = kept(enrolmentChannel(suite, id));
    const csr = { sandboxId: id, certificateSigningRequest: first.csr };
    expect(await outcome(enrol, issueSandboxToken, csr, { authorization: `Bearer ${leftover}` })).toBe(
      "CREDENTIAL_REVOKED",
    );
    const spent = (await suite.driver.startOf(id)).bootstrapToken;
    expect(await outcome(enrol, issueSandboxToken, csr, { authorization: `Bearer ${spent}` })).toBe("BOOTSTRAP_USED");
    const secondAuth = asSandbox("auth", second);
    const now = { authorization: `Bearer ${second.token}` };
    expect(await outcome(secondAuth, getPrincipal, {}, now)).toBe("OK");
    expect(await outcome(secondAuth, issueEgressToken, { sandboxId: id }, now)).toBe("OK");
    expect(await rejoin(enrol, first)).toBe("PROOF_REJECTED");
    expect(await rejoin(enrol, second)).toBe("OK");
  });
});
