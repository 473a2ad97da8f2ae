import { mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AuthService } from "@sandgate/api/auth";
import { SandboxService } from "@sandgate/api/sandbox";
import { createCsr, createKeyPair } from "@sandgate/pki";
import { type Channel, createClient, ServiceError } from "@sandgate/rpc";
import {
  type KubernetesApi,
  type SupervisorProgram,
  startKubernetesApi,
  startSupervisorProgram,
  supervisorRoot,
  type TestPod,
} from "@sandgate/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startSuite, type TestSuite, topologies, trustDomain } from "../suite/start-suite.ts";
import { connect } from "../suite/test-sandbox.ts";

describe.each(topologies)("G-05, G-10: a sandbox in a pod, %s", (topology) => {
  let cluster: KubernetesApi;
  let suite: TestSuite;
  let identity: { readonly certificatePem: string; readonly keyPem: string };
  let operator: Channel;
  let edge: Channel;

  beforeAll(async () => {
    cluster = await startKubernetesApi();
    suite = await startSuite(topology, { kubernetes: cluster.settings, quiet: true });
    identity = {
      certificatePem: await readFile(suite.pki.operator.certificateFile, "utf8"),
      keyPem: await readFile(suite.pki.operator.keyFile, "utf8"),
    };
    operator = connect(suite, "sandbox", suite.address("sandbox", "mtls"), identity);
    edge = connect(suite, "auth", suite.address("auth", "edge"));
  }, 60_000);
  afterAll(async () => {
    operator.close();
    edge.close();
    await suite.stop();
    await cluster.close();
  });

  /** A sandbox that Sandbox has registered, and a pod as its driver would make it. */
  const createPod = async (name: string): Promise<{ readonly sandboxId: string; readonly pod: TestPod }> => {
    const { sandbox } = await createClient(SandboxService, operator).createSandbox({
      requestId: crypto.randomUUID(),
      name,
      spec: { command: [] },
    });
    const { sandboxId, incarnation } = await suite.driver.startOf(sandbox?.id ?? "");
    const annotations = { "sandgate.dev/sandbox-id": sandboxId, "sandgate.dev/incarnation": String(incarnation) };
    return { sandboxId, pod: cluster.putPod({ name, annotations }) };
  };
  const auditOf = async (sandboxId: string): Promise<readonly string[]> => {
    const auth = connect(suite, "auth", suite.address("auth", "mtls"), identity);
    const { events } = await createClient(AuthService, auth).listAuditEvents({ sandboxId, pageSize: 100 });
    auth.close();
    return events.map(({ action }) => action);
  };

  it("G-11: enrols once with its projected token over TCP, calls with its certificate, and refreshes", async () => {
    const { sandboxId, pod } = await createPod("whole-way");
    const directory = await mkdtemp(join(tmpdir(), "pod-"));
    const asked = cluster.asked.length;
    const serverName = (service: string) =>
      topology === "all in one" ? `all-in-one.${trustDomain}` : `${service}.${trustDomain}`;
    const projected = async (at: (name: string) => string): Promise<void> => {
      await writeFile(at("token/new"), `${await cluster.podToken(pod)}\n`);
      await rename(at("token/new"), at("token/token"));
    };
    const program = await startSupervisorProgram({
      directory,
      hasNetwork: true,
      environment: { SANDGATE_K8S_SA_TOKEN_FILE: `${supervisorRoot}/token/token` },
      prepare: async (at) => {
        await projected(at);
        await writeFile(at("control/service-ca.pem"), suite.serviceCa);
        return {
          sandbox_id: sandboxId,
          incarnation: "1",
          name: "whole-way",
          service_ca_file: `${supervisorRoot}/control/service-ca.pem`,
          auth_server_name: serverName("auth"),
          policy_server_name: serverName("policy"),
          sandbox_server_name: serverName("sandbox"),
          enrol_address: suite.address("auth", "edge"),
          auth_address: suite.address("auth", "mtls"),
          policy_address: suite.address("policy", "mtls"),
          // nobody's: Sandbox would end it, since a process with a network is not confined, and says so
          sandbox_address: "127.0.0.1:9",
          egress_socket: `${supervisorRoot}/egress/egress.sock`,
          forwarder_port: 0,
          log_directory: `${supervisorRoot}/log`,
          workload: {
            workspace: `${supervisorRoot}/workspace`,
            temporary: `${supervisorRoot}/tmp`,
            environment: {},
            limits: {},
          },
          unreachable_paths: [directory],
        };
      },
    });
    try {
      await program.logged('"enrolled"');
      const principal = await program.debug(["show-principal"]);
      expect(principal.output).toContain(`spiffe://${trustDomain}/sandbox/${sandboxId}`);
      const first = (await program.debug(["show-token"])).output;
      const egress = await egressTokenOf(program);
      expect(egress).not.toBe(first);
      expect(await program.debug(["refresh"])).toMatchObject({ status: 0 });
      expect((await program.debug(["show-token"])).output).not.toBe(first);
      const actions = await auditOf(sandboxId);
      expect(actions.filter((action) => action === "token.issued")).toHaveLength(1);
      expect(actions).toContain("token.refreshed");
      expect(cluster.asked.slice(asked).filter((path) => path.includes("/pods/"))).toHaveLength(1);
    } finally {
      program.process.kill("SIGKILL");
      await program.exited;
      await rm(directory, { recursive: true, force: true });
    }
  }, 60_000);

  it("G-16: its token is worth nothing to a workload that reads it, in another pod's place, or for another sandbox", async () => {
    const { sandboxId, pod } = await createPod("stolen");
    const other = await createPod("victim");
    const enrol = async (id: string, token: string, keys = createKeyPair()): Promise<string> => {
      try {
        await createClient(AuthService, edge).issueSandboxToken(
          { sandboxId: id, certificateSigningRequest: createCsr(keys) },
          { headers: { authorization: `Bearer ${token}` } },
        );
        return "OK";
      } catch (thrown) {
        return thrown instanceof ServiceError ? thrown.reason : String(thrown);
      }
    };
    const token = await cluster.podToken(pod);
    expect(await enrol(other.sandboxId, token)).toBe("SANDBOX_NOT_FOUND");
    const keys = createKeyPair();
    expect(await enrol(sandboxId, token, keys)).toBe("OK");
    expect(await enrol(sandboxId, token, keys)).toBe("OK"); // a lost answer
    expect(await enrol(sandboxId, token)).toBe("BOOTSTRAP_USED");
    // the annotation is patched: the pod has enrolled, and enrols nobody else
    Object.assign(pod.object.metadata as object, { annotations: annotationsOf(other.pod) });
    expect(await enrol(other.sandboxId, token)).toBe("BOOTSTRAP_USED");
    // the pod is made anew under its name
    cluster.putPod({ name: pod.name, annotations: annotationsOf(other.pod) });
    expect(await enrol(other.sandboxId, await cluster.podToken(pod))).toBe("CREDENTIAL_REJECTED");
    expect(await enrol(other.sandboxId, await cluster.podToken(other.pod))).toBe("OK");
    const refusals = (await auditOf(other.sandboxId)).filter((action) => action === "call.denied");
    expect(refusals.length).toBeGreaterThan(0);
  });

  it("is told apart: a bad token from a cluster that does not answer, which it is asked again", async () => {
    const { sandboxId, pod } = await createPod("outage");
    const token = await cluster.podToken(pod);
    const enrol = () =>
      createClient(AuthService, edge)
        .issueSandboxToken(
          { sandboxId, certificateSigningRequest: createCsr(createKeyPair()) },
          { headers: { authorization: `Bearer ${token}` } },
        )
        .then(
          () => "OK",
          (thrown: unknown) => (thrown as ServiceError).reason,
        );
    await cluster.stop();
    expect(await enrol()).toBe("IDENTITY_PROVIDER_UNAVAILABLE");
    await cluster.start();
    expect(await enrol()).toBe("OK");
  });
});

/** The egress token that it gets with its certificate, once it has it. */
async function egressTokenOf(program: SupervisorProgram): Promise<string> {
  for (;;) {
    const { output, status } = await program.debug(["show-token", "--egress"]);
    if (status === 0) return output;
  }
}

function annotationsOf(pod: TestPod): Readonly<Record<string, string>> {
  return (pod.object as { metadata: { annotations: Record<string, string> } }).metadata.annotations;
}
