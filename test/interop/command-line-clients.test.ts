import { AuthService } from "@sandgate/api/auth";
import { PolicyService } from "@sandgate/api/policy";
import { SandboxService } from "@sandgate/api/sandbox";
import { readEnvironment } from "@sandgate/config";
import { afterAll, beforeAll, describe, expect, it, type TestContext } from "vitest";
import {
  organizations,
  type ServiceName,
  startSuite,
  type TestSuite,
  topologies,
  users,
} from "../integration/suite/start-suite.ts";
import { bufCurl } from "./buf-curl.ts";
import type { Caller, CommandLineClient } from "./command-line-client.ts";
import { describeWithGrpcurl, grpcurl, hasGrpcurl, missingGrpcurl } from "./grpcurl.ts";

const services = { auth: AuthService, sandbox: SandboxService, policy: PolicyService } as const;
const serviceNames = ["auth", "sandbox", "policy"] as const;
const openServices = ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"];
const getPrincipal = `${AuthService.typeName}/GetPrincipal`;
const health = "grpc.health.v1.Health/Check";

const isThere = await hasGrpcurl();
if (!isThere) process.stderr.write(`${missingGrpcurl}\n`);

/** In CI grpcurl must be there, so that its absence cannot pass for success. */
function needs(client: CommandLineClient, context: TestContext): void {
  if (client === grpcurl && !isThere && readEnvironment()["CI"] === undefined) context.skip(missingGrpcurl);
}

describe.each(topologies)("over the network, %s", (topology) => {
  let suite: TestSuite;
  const anybody = (service: ServiceName, listener: "edge" | "mtls" = "edge"): Caller => ({
    address: suite.address(service, listener),
    serviceCaFile: suite.pki.serviceAuthority.certificateFile,
  });
  const operator = (service: ServiceName): Caller => ({ ...anybody(service, "mtls"), certificate: suite.pki.operator });

  beforeAll(async () => {
    suite = await startSuite(topology);
  });
  afterAll(() => suite.stop());

  describe.each([grpcurl, bufCurl])("$name", (client) => {
    it("lists the services of each program on both listeners, by reflection alone", async (context) => {
      needs(client, context);
      for (const service of serviceNames) {
        const own = topology === "all in one" ? serviceNames : [service];
        const expected = [...openServices, ...own.map((name) => services[name].typeName)].sort();
        expect(await client.listServices(anybody(service))).toEqual(expected);
        expect(await client.listServices(operator(service))).toEqual(expected);
      }
    });

    it.for(serviceNames)("lists every method of %s", async (service, context) => {
      needs(client, context);
      const { methods, typeName } = services[service];
      const expected = methods.map(({ name }) => name).sort();
      expect(await client.listMethods(operator(service), typeName)).toEqual(expected);
    });

    it("calls as the user of an operator certificate on the mTLS listener", async (context) => {
      needs(client, context);
      expect(await client.call(operator("auth"), getPrincipal, {})).toMatchObject({
        message: {
          kind: "PRINCIPAL_KIND_USER",
          spiffeId: `spiffe://sandgate.test/user/${users.operator}`,
          user: { organizationId: organizations.own, role: "ROLE_OPERATOR" },
          authenticator: "operator-certificate",
        },
      });
    });

    it("calls every service on the edge listener with a user token that it was given over mTLS", async (context) => {
      needs(client, context);
      const created = await client.call(operator("auth"), `${AuthService.typeName}/CreateUserToken`, {});
      if (!("message" in created)) throw new Error(created.error.message);
      const token = String(created.message["token"]);
      expect(await client.call({ ...anybody("auth"), token }, getPrincipal, {})).toMatchObject({
        message: { user: { userId: users.operator }, authenticator: "user-session" },
      });
      for (const service of serviceNames)
        expect(
          await client.call({ ...anybody(service), token }, `${services[service].typeName}/ListAuditEvents`, {}),
        ).toHaveProperty("message");
    });

    it("creates a sandbox, finds it in the list and watches it", async (context) => {
      needs(client, context);
      const name = `by-${client.name.replace(" ", "-")}`;
      const at = operator("sandbox");
      const requestId = crypto.randomUUID();
      const created = await client.call(at, `${SandboxService.typeName}/CreateSandbox`, { requestId, name });
      expect(created).toMatchObject({ message: { sandbox: { name, ownerUserId: users.operator } } });
      const listed = await client.call(at, `${SandboxService.typeName}/ListSandboxes`, {});
      expect(listed).toMatchObject({
        message: { sandboxes: expect.arrayContaining([expect.objectContaining({ name })]) },
      });
      const first = await client.firstMessage(at, `${SandboxService.typeName}/WatchSandbox`, { sandbox: name });
      expect(first).toMatchObject({ sandbox: { name } });
    });

    it("shows the reason and the metadata of an error", async (context) => {
      needs(client, context);
      const request = { requestId: crypto.randomUUID(), name: "Not A Name" };
      const answer = await client.call(operator("sandbox"), `${SandboxService.typeName}/CreateSandbox`, request);
      expect(answer).toMatchObject({
        error: { reason: "REQUEST_INVALID", domain: "sandgate.dev", metadata: { field: "name" } },
      });
    });

    it("is told that a call without a credential needs one", async (context) => {
      needs(client, context);
      const answer = await client.call(anybody("auth"), getPrincipal, {});
      expect(answer).toMatchObject({ error: { reason: "CREDENTIAL_MISSING" } });
    });

    it("asks for the health of the program and of each service, without a credential", async (context) => {
      needs(client, context);
      for (const name of serviceNames)
        for (const service of ["", services[name].typeName])
          expect(await client.call(anybody(name), health, { service })).toEqual({ message: { status: "SERVING" } });
    });
  });

  it.for(serviceNames)("grpcurl describes %s with the access option of every method", async (service, context) => {
    needs(grpcurl, context);
    const { methods, typeName } = services[service];
    const description = await describeWithGrpcurl(operator(service), typeName);
    const described = description.split(/^ {2}rpc /m).slice(1);
    expect(described.map((text) => text.split(" ")[0]).sort()).toEqual(methods.map(({ name }) => name).sort());
    for (const text of described) {
      expect(text).toContain("option (.sandgate.options.v1.access) = {");
      expect(text).toContain("listeners: [ LISTENER_");
    }
  });
});
