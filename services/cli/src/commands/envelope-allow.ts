import type { CommandContext } from "../command-context.ts";
import { CommandFailure } from "../command-failure.ts";
import { type EnvelopeOptions, openFirstEnvelope } from "../envelope/find-envelopes.ts";
import { exitCodes } from "../exit-codes.ts";

/** `sandgate envelope allow`: has this machine let in, until the lease ends (exit code 1) or the command is interrupted. */
export async function allowByEnvelope(context: CommandContext, options: EnvelopeOptions): Promise<number> {
  const { output, interruptions } = context;
  const { signal } = interruptions;
  const { target, window } = await openFirstEnvelope(options, { signal, note: (text) => output.note(text) });
  output.event({ event: "granted", host: target.url.hostname });
  output.line(`${target.url.hostname} lets this machine in`);
  const interrupted = new Promise<"interrupted">((resolve) => {
    if (signal.aborted) resolve("interrupted");
    signal.addEventListener("abort", () => resolve("interrupted"), { once: true });
  });
  const end = await Promise.race([interrupted, window.ended.then(() => "ended" as const)]);
  window.close();
  if (end === "ended") throw new CommandFailure({ message: "the envelope has ended the lease" });
  return exitCodes.ok;
}
