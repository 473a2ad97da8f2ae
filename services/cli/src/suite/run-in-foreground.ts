import { createInterface } from "node:readline";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-codes.ts";
import type { StartedSuite } from "./start-suite.ts";
import { findSuiteProcesses, forgetRunningSuite, stopProcesses } from "./stop-suite.ts";

const stopTimeoutMs = 20_000;

/**
 * Stays with a suite that was started undetached: shows its logs on standard error, ends all of it on an interruption or when
 * one of its processes ends by itself. Sandboxes live on for the next `up`. Exit code 1 in the second case.
 */
export async function runInForeground(context: CommandContext, suite: StartedSuite): Promise<number> {
  const { output } = context;
  for (const { launch, child } of suite.launched)
    for (const stream of [child.stdout, child.stderr])
      if (stream !== null)
        createInterface({ input: stream }).on("line", (line) =>
          output.note(`${output.noteColors.dim(launch.name.padEnd(12))} ${line}`),
        );
  const ended = await Promise.race([
    new Promise<undefined>((resolve) => {
      const { signal } = context.interruptions;
      if (signal.aborted) resolve(undefined);
      signal.addEventListener("abort", () => resolve(undefined), { once: true });
    }),
    ...suite.launched.map(
      ({ launch, child }) =>
        new Promise<string>((resolve) => {
          child.once("exit", () => resolve(launch.name));
        }),
    ),
  ]);
  output.note(ended === undefined ? "ending the suite" : `${ended} ended; ending the suite`);
  const directories = context.directories();
  forgetRunningSuite(directories);
  await stopProcesses(directories, findSuiteProcesses(directories), { timeoutMs: stopTimeoutMs });
  return ended === undefined ? exitCodes.ok : exitCodes.failed;
}
