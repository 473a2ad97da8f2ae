import { unlink } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { toJsonString } from "@bufbuild/protobuf";
import {
  GetDraftPolicyResponseSchema,
  type PolicyService,
  SubmitPolicyAnalysisResponseSchema,
} from "@sandgate/api/policy";
import { GetSandboxConfigResponseSchema, type SandboxService } from "@sandgate/api/sandbox";
import { type Client, describeReason, ServiceError } from "@sandgate/rpc";
import type { CredentialKeeper } from "../identity/credential-keeper.ts";
import type { CredentialSlot } from "../identity/credential-slot.ts";
import type { DebugAnswer } from "./debug-answer.ts";

/** What answers an operator's questions about this supervisor. */
export interface DebugServerOptions {
  /** In a directory that the machine's own users alone can enter, and the workload cannot see. */
  readonly socketPath: string;
  readonly slot: CredentialSlot;
  readonly keeper: Pick<CredentialKeeper, "renew">;
  /** With this sandbox's own credentials. */
  readonly sandbox: Pick<Client<typeof SandboxService>, "getSandboxConfig">;
  readonly policy: Pick<Client<typeof PolicyService>, "submitPolicyAnalysis" | "getDraftPolicy">;
  /** This sandbox's own id. */
  readonly sandboxId: string;
}

const longestQuestionBytes = 4096;
const questionTimeoutMs = 5_000;

/**
 * Serves `supervisor debug-rpc` (G-30): one question and one answer for each connection, a line of JSON each. Who may connect is
 * decided by the directory that the socket is in: whoever can enter it can read this process's memory as well.
 */
export async function startDebugServer(options: DebugServerOptions): Promise<{ close(): Promise<void> }> {
  await unlink(options.socketPath).catch(() => {}); // an earlier process's, if there was one
  const server = createServer((socket) => serve(socket, options));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.socketPath, resolve);
  });
  server.unref();
  return { close: () => closeServer(server) };
}

function serve(socket: Socket, options: DebugServerOptions): void {
  let question = "";
  socket.unref();
  socket.setEncoding("utf8");
  socket.setTimeout(questionTimeoutMs, () => socket.destroy());
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk: string) => {
    question += chunk;
    if (question.length > longestQuestionBytes) socket.destroy();
    if (!question.includes("\n")) return;
    socket.removeAllListeners("data");
    socket.setTimeout(0);
    answer(question, options).then(
      (said) => socket.end(`${JSON.stringify(said)}\n`),
      () => socket.destroy(),
    );
  });
}

async function answer(question: string, options: DebugServerOptions): Promise<DebugAnswer> {
  const [command, ...words] = readQuestion(question);
  try {
    switch (command) {
      case "get-sandbox-config": {
        const [flag, sandboxId] = words;
        if (flag !== "--sandbox-id" || sandboxId === undefined)
          return refused("get-sandbox-config needs --sandbox-id ID");
        const config = await options.sandbox.getSandboxConfig({ sandboxId });
        return { code: 0, output: toJsonString(GetSandboxConfigResponseSchema, config) };
      }
      case "submit-policy-analysis": {
        const source = { case: "decisions", value: { decisionIds: words } } as const;
        const reason = "asked for through debug-rpc";
        const submitted = await options.policy.submitPolicyAnalysis({ sandbox: options.sandboxId, reason, source });
        return { code: 0, output: toJsonString(SubmitPolicyAnalysisResponseSchema, submitted) };
      }
      case "get-draft-policy": {
        const draft = await options.policy.getDraftPolicy({ sandbox: options.sandboxId });
        return { code: 0, output: toJsonString(GetDraftPolicyResponseSchema, draft) };
      }
      case "refresh":
        await options.keeper.renew(AbortSignal.timeout(10_000));
        return { code: 0, output: "refreshed" };
      case "show-token": {
        const token = words[0] === "--egress" ? options.slot.egressToken : options.slot.session?.token;
        return token === undefined ? refused("there is no such token yet") : { code: 0, output: token };
      }
      case "show-principal": {
        const token = options.slot.session?.token;
        return token === undefined ? refused("there is no such token yet") : { code: 0, output: claimsOf(token) };
      }
      default:
        return refused(
          "the commands are get-sandbox-config, submit-policy-analysis, get-draft-policy, refresh, show-token [--egress], show-principal",
        );
    }
  } catch (cause) {
    if (!(cause instanceof ServiceError)) throw cause;
    const { code } = describeReason(cause.reason);
    return { code, output: `${cause.reason}: ${cause.message}` };
  }
}

function readQuestion(text: string): string[] {
  try {
    const words: unknown = JSON.parse(text);
    return Array.isArray(words) ? words.filter((word) => typeof word === "string") : [];
  } catch {
    return [];
  }
}

/** INVALID_ARGUMENT. */
function refused(output: string): DebugAnswer {
  return { code: 3, output };
}

function claimsOf(token: string): string {
  return Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8");
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
