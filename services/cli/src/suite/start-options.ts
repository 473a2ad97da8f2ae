import type { CommandContext } from "../command-context.ts";
import { formatDuration } from "../quantities.ts";
import type { StartOptions } from "./start-suite.ts";

/** How a suite is started when the user asked for nothing in particular. */
export function startOptionsOf(context: CommandContext): StartOptions {
  const { output } = context;
  return {
    directories: context.directories(),
    topology: undefined,
    driver: undefined,
    userId: context.environment.userId,
    detached: true,
    edgePort: undefined,
    mtlsPort: undefined,
    webPort: undefined,
    allowedOrigins: [],
    preferredPorts: context.namedDirectory === undefined ? preferredPorts : {},
    databaseUrlFile: undefined,
    databaseUrl: context.environment.databaseUrl,
    compileCache: context.environment.compileCache,
    developmentOrigins: [],
    timeoutMs: 60_000,
    signal: context.interruptions.signal,
    onStep: (step, tookMs) => {
      if (tookMs === undefined) output.progress(`${step} …`);
      else output.note(output.noteColors.dim(`  ${step.padEnd(14)} ${formatDuration(tookMs)}`));
    },
  };
}

/** A user's usual suite has ports that are easy to remember; a suite in a directory of its own does not compete for them. */
const preferredPorts: Readonly<Record<string, number>> = {
  "all-in-one.edge": 7443,
  "all-in-one.mtls": 7444,
  "all-in-one.web": 7449,
  "gateway.web": 7449,
  "auth.edge": 7443,
  "auth.mtls": 7444,
  "sandbox.edge": 7445,
  "sandbox.mtls": 7446,
  "policy.edge": 7447,
  "policy.mtls": 7448,
};
