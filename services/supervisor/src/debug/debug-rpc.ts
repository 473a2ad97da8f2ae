import { connect } from "node:net";
import { basename, dirname } from "node:path";
import { text } from "node:stream/consumers";
import type { DebugAnswer } from "./debug-answer.ts";

const defaultSocket = "/run/sandgate/bootstrap/debug.sock";

/** How to call it. */
const usage = `usage: supervisor debug-rpc [--socket PATH] COMMAND

  get-sandbox-config --sandbox-id ID   ask for a sandbox's configuration, as this sandbox
  submit-policy-analysis ID...         propose, as this sandbox, what these denied decisions lack
  get-draft-policy                     print this sandbox's own proposals and what became of them
  refresh                              renew certificate and session token now
  show-token [--egress]                print the session token that is held, or the egress token
  show-principal                       print the claims of the session token

Exits with the status code of the call: 0 is OK, 7 PERMISSION_DENIED.
`;

/**
 * `supervisor debug-rpc`: has a running supervisor call with its own identity, or show what it holds (G-30). For whoever may
 * enter the directory of its socket. Answers the exit code.
 */
export async function debugRpc(
  words: readonly string[],
  streams: { out(text: string): void; error(text: string): void },
): Promise<number> {
  const [socket, question] = words[0] === "--socket" ? [words[1], words.slice(2)] : [defaultSocket, words];
  if (socket === undefined || question.length === 0) {
    streams.error(usage);
    return 3;
  }
  let answer: DebugAnswer;
  try {
    answer = await ask(socket, question);
  } catch (cause) {
    streams.error(`the supervisor cannot be reached: ${cause instanceof Error ? cause.message : String(cause)}\n`);
    return 14;
  }
  (answer.code === 0 ? streams.out : streams.error)(`${answer.output}\n`);
  return answer.code;
}

async function ask(socketPath: string, question: readonly string[]): Promise<DebugAnswer> {
  process.chdir(dirname(socketPath)); // from there its path is short enough, however long the whole is
  const socket = connect(basename(socketPath));
  socket.write(`${JSON.stringify(question)}\n`);
  const said: unknown = JSON.parse(await text(socket));
  if (typeof said !== "object" || said === null || !("code" in said) || !("output" in said))
    throw new Error("its answer is not understood");
  return { code: Number(said.code), output: String(said.output) };
}
