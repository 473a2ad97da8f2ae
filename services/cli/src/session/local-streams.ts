import type { Readable } from "node:stream";
import { usageFailure } from "../command-failure.ts";
import type { Output } from "../output.ts";
import { writeWithBackpressure } from "../text-streams.ts";
import { createLocalTerminal, type LocalTerminal } from "./local-terminal.ts";
import type { ExecSink } from "./process-session.ts";

/**
 * The process's own streams for a command in a sandbox. A terminal is given to it when both ends are one and nothing else
 * was asked for. With --json its output becomes events. Refuses --tty where there is no terminal.
 */
export function localStreams(
  output: Output,
  options: { readonly tty?: boolean; readonly stdin: boolean },
): { stdin: Readable | undefined; terminal: LocalTerminal | undefined; sink: ExecSink } {
  const possible = process.stdin.isTTY === true && process.stdout.isTTY === true && options.stdin && !output.json;
  if (options.tty === true && !possible)
    throw usageFailure(
      "there is no terminal to give to the command",
      "leave out --tty, --json and --no-stdin, and run it in a terminal",
    );
  return {
    stdin: options.stdin ? process.stdin : undefined,
    terminal: possible && options.tty !== false ? createLocalTerminal(process.stdin, process.stdout) : undefined,
    sink: output.json
      ? eventSink(output)
      : {
          stdout: (data) => writeWithBackpressure(process.stdout, data),
          stderr: (data) => writeWithBackpressure(process.stderr, data),
        },
  };
}

function eventSink(output: Output): ExecSink {
  const send = (event: "stdout" | "stderr") => async (data: Uint8Array) => {
    output.event({ event, data: Buffer.from(data).toString("base64") });
    return writeWithBackpressure(process.stdout, "");
  };
  return { stdout: send("stdout"), stderr: send("stderr") };
}
