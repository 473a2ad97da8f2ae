import { readFile } from "node:fs/promises";
import { Health } from "@sandgate/api/grpc/health";
import { ServerReflection } from "@sandgate/api/grpc/reflection";
import { type Channel, createClient, ServiceError } from "@sandgate/rpc";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ServiceName, startSuite, type TestSuite, topologies } from "../integration/suite/start-suite.ts";
import { connect, createTestSandbox, enrolmentChannel, type TestSandbox } from "../integration/suite/test-sandbox.ts";

describe.each(topologies)("a sandbox's own sockets, %s", (topology) => {
  let suite: TestSuite;
  let sandbox: TestSandbox;
  const control = (service: ServiceName): Channel =>
    connect(suite, service, suite.socket(service, sandbox.id, "control"), sandbox);
  const sockets = [
    { socket: "enrol.sock", open: () => enrolmentChannel(suite, sandbox.id) },
    { socket: "Auth's control socket", open: () => control("auth") },
    { socket: "Sandbox's control socket", open: () => control("sandbox") },
  ];

  beforeAll(async () => {
    suite = await startSuite(topology);
    const operator = connect(suite, "sandbox", suite.address("sandbox", "mtls"), {
      certificatePem: await readFile(suite.pki.operator.certificateFile, "utf8"),
      keyPem: await readFile(suite.pki.operator.keyFile, "utf8"),
    });
    sandbox = await createTestSandbox(suite, operator, "curious");
    operator.close();
  });
  afterAll(() => suite.stop());

  it.each(sockets)("have no health service: $socket", async ({ open }) => {
    const channel = open();
    const refusal = await createClient(Health, channel).check({}).catch(reasonOf);
    channel.close();
    expect(refusal).toBe("METHOD_NOT_FOUND");
  });

  it.each(sockets)("have no reflection: $socket", async ({ open }) => {
    const channel = open();
    const answers = createClient(ServerReflection, channel).serverReflectionInfo(listServices());
    const refusal = await answers[Symbol.asyncIterator]().next().catch(reasonOf);
    channel.close();
    expect(refusal).toBe("METHOD_NOT_FOUND");
  });
});

async function* listServices() {
  yield { messageRequest: { case: "listServices", value: "" } } as const;
}

function reasonOf(error: unknown): string {
  if (error instanceof ServiceError) return error.reason;
  throw error;
}
