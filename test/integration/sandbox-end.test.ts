import { readFile } from "node:fs/promises";
import { AuthService } from "@sandgate/api/auth";
import { PolicyService } from "@sandgate/api/policy";
import { ExitReason, Phase, SandboxService } from "@sandgate/api/sandbox";
import type { CertificateFiles } from "@sandgate/pki/authority";
import { type Channel, createClient } from "@sandgate/rpc";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { callOutcome } from "./attack-matrix/call-outcome.ts";
import { startTestSupervisor } from "./attack-matrix/test-supervisor.ts";
import { type ServiceName, startSuite, type TestSuite, topologies } from "./suite/start-suite.ts";
import { connect, createTestSandbox } from "./suite/test-sandbox.ts";

describe.each(topologies)("G-15 a sandbox that is over, %s", (topology) => {
  let suite: TestSuite;
  let operator: Channel;
  let proxy: Channel;
  const channels: Channel[] = [];
  const dial = async (service: ServiceName, files: CertificateFiles): Promise<Channel> => {
    const channel = connect(suite, service, suite.address(service, "mtls"), {
      certificatePem: await readFile(files.certificateFile, "utf8"),
      keyPem: await readFile(files.keyFile, "utf8"),
    });
    channels.push(channel);
    return channel;
  };

  beforeAll(async () => {
    suite = await startSuite(topology);
    operator = await dial("sandbox", suite.pki.operator);
    proxy = await dial("policy", suite.pki.services["egress-proxy"]);
  });
  afterAll(async () => {
    for (const channel of channels) channel.close();
    await suite.stop();
  });

  it.each([
    ["COMPLETED", 0],
    ["FAILED", 3],
  ] as const)("%s after its main process exited with %d, has no credential left", async (phase, code) => {
    const sandbox = await createTestSandbox(suite, operator, `ends-${code}`, ["true"]);
    const headers = { authorization: `Bearer ${sandbox.token}` };
    const control = connect(suite, "sandbox", suite.socket("sandbox", sandbox.id, "control"), sandbox);
    const auth = connect(suite, "auth", suite.socket("auth", sandbox.id, "control"), sandbox);
    channels.push(control, auth);
    const supervisor = startTestSupervisor(sandbox, control);
    await createClient(PolicyService, proxy).reportPolicyStatus({
      enforcements: [{ sandboxId: sandbox.id, revision: 1n }],
    });
    const reached = async (wanted: Phase) => {
      const watched = createClient(SandboxService, operator).watchSandbox(
        { sandbox: sandbox.id },
        { timeoutMs: 20_000 },
      );
      for await (const { sandbox: seen } of watched) if (seen?.phase === wanted) return;
    };
    await reached(Phase.READY);
    const { sandboxId, incarnation } = { sandboxId: sandbox.id, incarnation: sandbox.incarnation };
    await createClient(SandboxService, control).reportProcessExit(
      { sandboxId, incarnation, exit: { reason: ExitReason.EXITED, code } },
      { headers },
    );
    await reached(Phase[phase]);
    const asked = (method: keyof typeof AuthService.method, by: Channel) =>
      callOutcome(by, AuthService.method[method], [{ sandboxId }], headers);
    await vi.waitFor(async () => expect(await asked("getPrincipal", auth)).toBe("CREDENTIAL_REVOKED"), 5_000);
    expect(await asked("refreshSandboxToken", auth)).toBe("CREDENTIAL_REVOKED");
    expect(await asked("issueEgressToken", auth)).toBe("CREDENTIAL_REVOKED");
    await supervisor.stop();
    const { sandbox: kept } = await createClient(SandboxService, operator).getSandbox({ sandbox: sandbox.name });
    expect(kept?.id).toBe(sandbox.id);
  });
});
