import { readFile } from "node:fs/promises";
import { AuthService } from "@sandgate/api/auth";
import { Health } from "@sandgate/api/grpc/health";
import { Phase, SandboxService } from "@sandgate/api/sandbox";
import { type Channel, createClient, ServiceError } from "@sandgate/rpc";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createWebChannel, webProtocols } from "../../../libs/rpc/src/web/connect-channel.fixture.ts";
import { startSuite, type TestSuite, topologies, trustDomain, users } from "../suite/start-suite.ts";
import { connect } from "../suite/test-sandbox.ts";

describe.each(topologies)("the web front, %s", (topology) => {
  let suite: TestSuite;
  let operator: Channel;
  let headers: { authorization: string };

  beforeAll(async () => {
    suite = await startSuite(topology);
    const identity = {
      certificatePem: await readFile(suite.pki.operator.certificateFile, "utf8"),
      keyPem: await readFile(suite.pki.operator.keyFile, "utf8"),
    };
    operator = connect(suite, "sandbox", suite.address("sandbox", "mtls"), identity);
    const auth = connect(suite, "auth", suite.address("auth", "mtls"), identity);
    const { token } = await createClient(AuthService, auth).createUserToken({});
    auth.close();
    headers = { authorization: `Bearer ${token}` };
  });
  afterAll(async () => {
    operator.close();
    await suite.stop();
  });

  describe.each(webProtocols)("by %s", (protocol) => {
    const web = (): Channel => createWebChannel({ ...suite.web, protocol, ca: suite.serviceCa, headers });

    it("takes the bearer of a session for its user", async () => {
      expect(await createClient(AuthService, web()).getPrincipal({})).toMatchObject({
        spiffeId: `spiffe://${trustDomain}/user/${users.operator}`,
        authenticator: "user-session",
      });
    });

    it("creates, lists and watches a sandbox until it is deleted", async () => {
      const client = createClient(SandboxService, web());
      const name = `by-${protocol.toLowerCase().replace(/[^a-z0-9]+/g, "-")}`;
      await client.createSandbox({ requestId: crypto.randomUUID(), name });
      const { sandboxes } = await client.listSandboxes({});
      expect(sandboxes.map((sandbox) => sandbox.name)).toContain(name);
      const seen: (Phase | undefined)[] = [];
      for await (const { sandbox } of client.watchSandbox({ sandbox: name }, { timeoutMs: 15_000 })) {
        if (seen.length === 0)
          await createClient(SandboxService, operator).deleteSandbox({ sandbox: name, requestId: crypto.randomUUID() });
        seen.push(sandbox?.phase);
        if (sandbox?.phase === Phase.DELETED) break;
      }
      expect(seen.length).toBeGreaterThan(1);
      expect(seen.at(-1)).toBe(Phase.DELETED);
    });

    it("refuses in the same words as the edge listener", async () => {
      const edge = connect(suite, "sandbox", suite.address("sandbox", "edge"));
      const request = { requestId: crypto.randomUUID(), name: "Not A Name" };
      const refusals = await Promise.all(
        [edge, web()].map((channel) =>
          createClient(SandboxService, channel).createSandbox(request, { headers }).then(undefined, described),
        ),
      );
      edge.close();
      expect(refusals[0]).toMatchObject(["REQUEST_INVALID", expect.any(String), { field: "name" }]);
      expect(refusals[1]).toEqual(refusals[0]);
    });

    it("ends a stream at its deadline", async () => {
      const client = createClient(SandboxService, web());
      const name = `quiet-${protocol.toLowerCase().replace(/[^a-z0-9]+/g, "-")}`;
      await client.createSandbox({ requestId: crypto.randomUUID(), name });
      const watching = (async () => {
        for await (const _sandbox of client.watchSandbox({ sandbox: name }, { timeoutMs: 300 }));
      })();
      await expect(watching).rejects.toMatchObject({ reason: "DEADLINE_EXCEEDED" });
    });

    it("tells the health of the services to anybody", async () => {
      const anybody = createWebChannel({ ...suite.web, protocol, ca: suite.serviceCa });
      const health = createClient(Health, anybody);
      expect((await health.check({ service: SandboxService.typeName })).status).toBe(1);
      await expect(health.check({ service: "nothing" })).rejects.toMatchObject({ reason: "METHOD_NOT_FOUND" });
    });
  });
});

function described(thrown: unknown): readonly unknown[] {
  if (thrown instanceof ServiceError) return [thrown.reason, thrown.message, thrown.metadata];
  throw thrown;
}
