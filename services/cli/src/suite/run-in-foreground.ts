import { createInterface } from "node:readline";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-codes.ts";
import type { StartedSuite } from "./start-suite.ts";
import { findSuiteProcesses, forgetRunningSuite, stopProcesses } from "./stop-suite.ts";
import { findSuiteFile } from "./suite-file.ts";
import { withSuiteLock } from "./suite-lock.ts";
import { completeSuitePki } from "./suite-pki.ts";

const stopTimeoutMs = 20_000;
const renewalMs = 12 * 3_600_000;

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
  const renewal = setInterval(() => {
    renewCertificates(context).catch((fault: unknown) =>
      output.note(`the certificates could not be renewed: ${fault instanceof Error ? fault.message : String(fault)}`),
    );
  }, renewalMs);
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
  clearInterval(renewal);
  output.note(ended === undefined ? "ending the suite" : `${ended} ended; ending the suite`);
  const directories = context.directories();
  forgetRunningSuite(directories);
  await stopProcesses(directories, findSuiteProcesses(directories), { timeoutMs: stopTimeoutMs });
  return ended === undefined ? exitCodes.ok : exitCodes.failed;
}

/** A suite may run for longer than its certificates live; its programs follow their files. */
async function renewCertificates(context: CommandContext): Promise<void> {
  const directories = context.directories();
  const suite = findSuiteFile(directories.suiteFile);
  if (suite === undefined) return;
  const { userId } = context.environment;
  await withSuiteLock(directories.lockFile, () => completeSuitePki({ directories, suite, userId }));
}
