import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
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
