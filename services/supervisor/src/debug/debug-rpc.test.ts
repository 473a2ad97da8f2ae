import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { GetDraftPolicyResponseSchema, SubmitPolicyAnalysisResponseSchema } from "@sandgate/api/policy";
import { GetSandboxConfigResponseSchema } from "@sandgate/api/sandbox";
import { createKeyPair } from "@sandgate/pki";
import { ServiceError } from "@sandgate/rpc";
import { afterEach, beforeEach, expect, it } from "vitest";
import { CredentialSlot } from "../identity/credential-slot.ts";
import { debugRpc } from "./debug-rpc.ts";
import { startDebugServer } from "./debug-server.ts";

const home = process.cwd();
let folder: string;
let socketPath: string;
let slot: CredentialSlot;
let renewals = 0;
let server: { close(): Promise<void> };

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "debug-"));
  socketPath = join(folder, "debug.sock");
  slot = new CredentialSlot(createKeyPair());
  renewals = 0;
  server = await startDebugServer({
    socketPath,
    slot,
    keeper: {
      renew: async () => {
        renewals += 1;
      },
    },
    sandboxId: "own",
    policy: {
      submitPolicyAnalysis: async ({ sandbox, source }) => {
        if (sandbox !== "own" || source?.case !== "decisions") throw new Error("another request was expected");
        const ids = source.value.decisionIds ?? [];
        if (ids.length === 0) throw new ServiceError("REQUEST_INVALID", "a sandbox names the decisions");
        return create(SubmitPolicyAnalysisResponseSchema, { proposals: ids.map((reason) => ({ reason })) });
      },
      getDraftPolicy: async () => create(GetDraftPolicyResponseSchema, { proposals: [{ proposalId: "prp-x" }] }),
    },
    sandbox: {
      getSandboxConfig: async ({ sandboxId }) => {
        if (sandboxId === "own") return create(GetSandboxConfigResponseSchema, { incarnation: 3n });
        throw new ServiceError("PRINCIPAL_NOT_ALLOWED", "not for this principal");
      },
    },
  });
});
afterEach(async () => {
  await server.close();
  process.chdir(home); // the command looks for the socket from its own directory
  rmSync(folder, { recursive: true });
});

async function ask(...words: readonly string[]) {
  const said = { out: "", error: "" };
  const code = await debugRpc(["--socket", socketPath, ...words], {
    out: (text) => {
      said.out += text;
    },
    error: (text) => {
      said.error += text;
    },
  });
  return { code, ...said };
}

it("calls with the supervisor's own identity, and exits with the status of a refusal (G-30)", async () => {
  expect(await ask("get-sandbox-config", "--sandbox-id", "own")).toEqual({
    code: 0,
    out: '{"incarnation":"3"}\n',
    error: "",
  });
  expect(await ask("get-sandbox-config", "--sandbox-id", "other")).toEqual({
    code: 7,
    out: "",
    error: "PRINCIPAL_NOT_ALLOWED: not for this principal\n",
  });
});

it("shows what is held and never causes a mint (G-30)", async () => {
  expect(await ask("show-token")).toMatchObject({ code: 3 });
  const claims = Buffer.from('{"sub":"spiffe://x/sandbox/own"}').toString("base64url");
  slot.session = { certificate: "", token: `e30.${claims}.c2ln`, issuedAt: 0, expiresAt: 0 };
  slot.egress = { token: "egress-token", issuedAt: 0, expiresAt: 0 };
  expect(await ask("show-token")).toMatchObject({ code: 0, out: `e30.${claims}.c2ln\n` });
  expect(await ask("show-token", "--egress")).toMatchObject({ code: 0, out: "egress-token\n" });
  expect(await ask("show-principal")).toMatchObject({ code: 0, out: '{"sub":"spiffe://x/sandbox/own"}\n' });
  expect(renewals).toBe(0);
});

it("G-21 asks for what was denied, as its own sandbox, and shows what became of it", async () => {
  expect(await ask("submit-policy-analysis", "dec-a", "dec-b")).toMatchObject({
    code: 0,
    out: '{"proposals":[{"reason":"dec-a"},{"reason":"dec-b"}]}\n',
  });
  expect(await ask("submit-policy-analysis")).toMatchObject({ code: 3 });
  expect(await ask("get-draft-policy")).toMatchObject({ code: 0, out: '{"proposals":[{"proposalId":"prp-x"}]}\n' });
});

it("renews on demand", async () => {
  expect(await ask("refresh")).toMatchObject({ code: 0 });
  expect(renewals).toBe(1);
});

it.each([[[]], [["nonsense"]], [["get-sandbox-config"]]])("says how it is called: %j", async (words) => {
  expect((await ask(...words)).code).toBe(3);
});

it("says that there is no supervisor", async () => {
  await server.close();
  expect((await ask("show-token")).code).toBe(14);
  server = { close: async () => {} };
});
