import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { PolicyService } from "@sandgate/api/policy";
import { SandboxService } from "@sandgate/api/sandbox";
import { readEnvironment } from "@sandgate/config";
import { createClient } from "@sandgate/rpc";
import { afterAll, beforeAll, describe, expect, it, type TestContext } from "vitest";
import {
  type ServiceName,
  startSuite,
  type TestSuite,
  topologies,
  trustDomain,
  users,
} from "../integration/suite/start-suite.ts";
import { connect } from "../integration/suite/test-sandbox.ts";
import { startAttackProgram } from "./attack-program.ts";
import { expectTwentyRows } from "./expect-twenty-rows.ts";
import { createWorkspace, isInstalled, type Language, languages, type Workspace } from "./language.ts";
import { readmeLines } from "./readme-lines.ts";
import { type CommandOutcome, runCommand } from "./run-command.ts";

const setUpMs = 300_000;
const missing = new Set<Language>();
for (const language of languages) if (!(await isInstalled(language))) missing.add(language);

describe.each(languages)("clients generated for $name", (language) => {
  let workspace: Workspace;

  /** In CI every language must be there, so that its absence cannot pass for success. */
  const needs = (context: TestContext): void => {
    if (missing.has(language) && readEnvironment()["CI"] === undefined) context.skip(language.missing);
  };

  beforeAll(async () => {
    workspace = await createWorkspace(language);
  });
  afterAll(() => workspace.remove());

  it("take five lines in the README", () => {
    expect(readmeLines(language.name)).toHaveLength(5);
  });

  describe.each(topologies)("%s", (topology) => {
    let suite: TestSuite;
    let asReadmeSays: CommandOutcome | undefined;

    beforeAll(async () => {
      suite = await startSuite(topology);
      if (missing.has(language)) return;
      asReadmeSays = await workspace.run([...readmeLines(language.name), language.build], {
        S: dirname(dirname(suite.pki.operator.certificateFile)),
        MTLS: suite.address("auth", "mtls"),
      });
    }, setUpMs);
    afterAll(() => suite.stop());

    it("are made, and call, by the very lines of the README", (context) => {
      needs(context);
      expect(asReadmeSays, asReadmeSays?.stderr).toMatchObject({ exitCode: 0 });
      expect(asReadmeSays?.stdout.trim().split("\n").at(-1)).toBe(`spiffe://${trustDomain}/user/${users.operator}`);
    });

    it.for(["over the sandbox's own sockets", "over the network"] as const)(
      "G-13, G-16: enrol, renew, are refused with a used token, stream both ways and read an error's details, %s",
      { timeout: 60_000 },
      async (way, context) => {
        needs(context);
        const { plan, sandboxId } = await planTour(suite, way);
        const [command = "", ...words] = language.tour;
        const input = JSON.stringify(plan);
        const { exitCode, stdout, stderr } = await runCommand(command, words, {
          directory: workspace.directory,
          input,
        });
        expect(exitCode, stderr).toBe(0);
        const told: Record<string, unknown> = JSON.parse(stdout);
        expect(told).toMatchObject({
          enrolledAs: `spiffe://${trustDomain}/sandbox/${sandboxId}`,
          isNewToken: true,
          usedToken: { code: "UNAUTHENTICATED", reason: "CREDENTIAL_REVOKED", domain: "sandgate.dev" },
          firstCommand: "workload_grants",
          badName: {
            code: "INVALID_ARGUMENT",
            reason: "REQUEST_INVALID",
            domain: "sandgate.dev",
            metadata: { field: "name" },
          },
        });
        expect(told["phases"]).toEqual(expect.arrayContaining(["PHASE_READY"]));
      },
    );

    it("G-24: meet what our own client meets in twenty rows of the attack matrix", async (context) => {
      needs(context);
      expect.hasAssertions();
      const program = startAttackProgram(workspace.directory, language.attack);
      try {
        await expectTwentyRows(topology, program.attack);
      } finally {
        await program.end();
      }
    }, 120_000);
  });
});

/** A new sandbox that waits for its supervisor, and how to be that. */
async function planTour(suite: TestSuite, way: "over the sandbox's own sockets" | "over the network") {
  const identity = async ({ certificateFile, keyFile }: typeof suite.pki.operator) => ({
    certificatePem: await readFile(certificateFile, "utf8"),
    keyPem: await readFile(keyFile, "utf8"),
  });
  const mtls = async (service: ServiceName, files: typeof suite.pki.operator) =>
    connect(suite, service, suite.address(service, "mtls"), await identity(files));
  const requestId = crypto.randomUUID();

  const operator = await mtls("sandbox", suite.pki.operator);
  const { sandbox } = await createClient(SandboxService, operator).createSandbox({ requestId });
  operator.close();
  const { sandboxId, bootstrapToken, incarnation } = await suite.driver.startOf(sandbox?.id ?? "");
  const proxy = await mtls("policy", suite.pki.services["egress-proxy"]);
  await createClient(PolicyService, proxy).reportPolicyStatus({ enforcements: [{ sandboxId, revision: 1n }] });
  proxy.close();

  const at = (service: ServiceName, address: string) => ({ address, serverName: `${service}.${trustDomain}` });
  const control = (service: ServiceName) =>
    at(
      service,
      way === "over the network" ? suite.address(service, "mtls") : suite.socket(service, sandboxId, "control"),
    );
  const enrolment =
    way === "over the network" ? suite.address("auth", "edge") : suite.socket("auth", sandboxId, "enrol");
  const plan = {
    serviceCaFile: suite.pki.serviceAuthority.certificateFile,
    sandboxId,
    incarnation: Number(incarnation),
    bootstrapToken,
    requestId: crypto.randomUUID(),
    enrol: at("auth", enrolment),
    auth: control("auth"),
    sandbox: control("sandbox"),
    operator: { ...at("sandbox", suite.address("sandbox", "mtls")), ...suite.pki.operator },
  };
  return { plan, sandboxId };
}
