import { readEnvironment } from "@sandgate/config/environment";
import { CommanderError } from "commander";
import { readClientFile } from "./client-file.ts";
import type { CommandContext, CommandEnvironment } from "./command-context.ts";
import { type CommonOptions, createCommandTree } from "./command-tree.ts";
import { describeFailure } from "./describe-failure.ts";
import { exitCodes } from "./exit-codes.ts";
import { exitCodeOfSignal, Interruptions } from "./interruptions.ts";
import { loginFilePath } from "./login/login-file-path.ts";
import { createOutput } from "./output.ts";
import { suiteDirectories } from "./suite/suite-directories.ts";
import { flush } from "./text-streams.ts";
import { version } from "./version.ts";

/** Runs one command line. Answers the exit code; results are on standard output, everything else on standard error. */
async function main(words: readonly string[]): Promise<number> {
  const variables = readEnvironment();
  const userId = process.getuid?.() ?? -1;
  const environment: CommandEnvironment = {
    userId,
    home: variables["HOME"],
    xdgDataHome: variables["XDG_DATA_HOME"],
    xdgConfigHome: variables["XDG_CONFIG_HOME"],
    xdgRuntimeDirectory: variables["XDG_RUNTIME_DIR"],
    databaseUrl: variables["DATABASE_URL"],
    compileCache: variables["NODE_COMPILE_CACHE"],
  };
  const interruptions = new Interruptions();
  let exitCode: number = exitCodes.ok;

  const contextOf = (options: CommonOptions): CommandContext => {
    const namedDirectory = options.directory ?? variables.SANDGATE_DIRECTORY;
    const directories = () => suiteDirectories({ ...environment, directory: namedDirectory });
    const namedClientFile = options.clientFile ?? variables["SANDGATE_CLIENT_FILE"];
    return {
      output: createOutput({
        stdout: process.stdout,
        stderr: process.stderr,
        json: options.json === true,
        color: options.color !== false && (variables["NO_COLOR"] ?? "") === "" && variables["TERM"] !== "dumb",
      }),
      directories,
      namedDirectory,
      namedClientFile,
      clientFile: () => ({
        ...readClientFile(namedClientFile ?? directories().clientFile),
        loginFile: loginFilePath(environment),
      }),
      environment,
      elapsed: () => performance.now(),
      interruptions,
    };
  };

  const program = createCommandTree(async (options, run) => {
    const context = contextOf(options);
    try {
      exitCode = await run(context);
    } catch (error) {
      const described = await describeFailure(error);
      const report = runsACommand(words) ? { ...described, exitCode: exitCodes.sandgateFailed } : described;
      if (interruptions.received !== undefined) {
        exitCode = exitCodeOfSignal(interruptions.received);
        return;
      }
      context.output.failure(report);
      exitCode = report.exitCode;
    }
  }, version);
  program.exitOverride();
  for (const command of program.commands) {
    command.exitOverride();
    for (const nested of command.commands) nested.exitOverride();
  }
  try {
    await program.parseAsync(words, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    exitCode = error.exitCode === 0 ? exitCodes.ok : runsACommand(words) ? exitCodes.sandgateFailed : exitCodes.usage;
  }
  return exitCode;
}

/** `run` and `exec` exit as the command they ran did, and with 125 when sandgate itself failed. */
function runsACommand(words: readonly string[]): boolean {
  return words[0] === "run" || words[0] === "exec";
}

process.stdout.on("error", ignoreClosedReader);
process.stderr.on("error", ignoreClosedReader);
const exitCode = await main(process.argv.slice(2));
await Promise.all([flush(process.stdout), flush(process.stderr)]);
process.exit(exitCode);

/** A reader that went away, as in `sandgate ls | head`, is no failure. */
function ignoreClosedReader(error: NodeJS.ErrnoException): void {
  if (error.code !== "EPIPE") throw error;
}
