import { spawn } from "node:child_process";
import { readEnvironment } from "@sandgate/config/environment";
import type { CommandContext } from "../command-context.ts";
import { CommandFailure } from "../command-failure.ts";
import { type EnvelopeOptions, openFirstEnvelope } from "../envelope/find-envelopes.ts";
import { exitCodes } from "../exit-codes.ts";
import { exitCodeOfSignal } from "../interruptions.ts";

/** How long a command may take to end when it is told to, before it is killed. */
const END_MS = 5_000;

/**
 * `sandgate envelope exec`: runs a command while an envelope lets this machine in, and exits as it did. The command is told where to go, by
 * SERVICE_HOSTNAME and SERVICE_URL, and never the token. When the envelope ends the lease first, the command is ended: exit code 1.
 */
export async function execInEnvelope(
  context: CommandContext,
  words: readonly string[],
  options: EnvelopeOptions,
): Promise<number> {
  const { output, interruptions } = context;
  const [program = "", ...args] = words[0] === "--" ? words.slice(1) : words;
  const { target, window } = await openFirstEnvelope(options, {
    signal: interruptions.signal,
    note: (text) => output.note(text),
  });
  const { url } = target;
  const child = spawn(program, args, {
    stdio: "inherit",
    env: { ...readEnvironment(), SERVICE_HOSTNAME: url.hostname, SERVICE_URL: `${url.origin}${url.pathname}` },
  });
  const giveBack = interruptions.takeOver((signal) => child.kill(signal));
  let killing: NodeJS.Timeout | undefined;
  let isOver = false;
  const over = window.ended.then(() => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    isOver = true;
    child.kill("SIGTERM");
    killing = setTimeout(() => child.kill("SIGKILL"), END_MS);
  });
  try {
    const exitCode = await new Promise<number>((resolve, reject) => {
      child.once("error", (cause: NodeJS.ErrnoException) => reject(notStarted(program, cause)));
      child.once("exit", (code, signal) => resolve(code ?? exitCodeOfSignal(signal ?? "")));
    });
    if (isOver) throw new CommandFailure({ message: "the envelope has ended the lease before the command had ended" });
    return exitCode;
  } finally {
    clearTimeout(killing);
    giveBack();
    window.close();
    await over;
  }
}

function notStarted(program: string, cause: NodeJS.ErrnoException): CommandFailure {
  const isMissing = cause.code === "ENOENT";
  return new CommandFailure(
    {
      message: `${program} ${isMissing ? "is not there" : "cannot be run"}`,
      exitCode: isMissing ? exitCodes.commandNotFound : exitCodes.commandNotExecutable,
    },
    { cause },
  );
}
