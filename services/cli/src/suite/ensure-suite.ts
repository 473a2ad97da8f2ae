import type { CommandContext } from "../command-context.ts";
import { startOptionsOf } from "./start-options.ts";
import { startSuite } from "./start-suite.ts";

/** Starts the suite that the command means, unless it runs, and says so. */
export async function ensureSuite(context: CommandContext): Promise<void> {
  context.output.note("starting the suite (once; `sandgate down` ends it)");
  await startSuite(startOptionsOf(context));
}
