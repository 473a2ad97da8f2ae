import type { Command } from "commander";
import { usageFailure } from "../command-failure.ts";
import { exitCodes, exitCodesHelp } from "../exit-codes.ts";

/** `sandgate help [topic…]`: the help of a command, or a page of its own. */
export async function printHelp(program: Command, topic: readonly string[]): Promise<number> {
  if (topic.length === 1 && topic[0] === "exit-codes") {
    process.stdout.write(exitCodesHelp);
    return exitCodes.ok;
  }
  let command = program;
  for (const word of topic) {
    const next = command.commands.find((candidate) => candidate.name() === word || candidate.aliases().includes(word));
    if (next === undefined)
      throw usageFailure(
        `there is no help on ${word}`,
        "`sandgate help` lists the commands; `sandgate help exit-codes` the exit codes",
      );
    command = next;
  }
  process.stdout.write(command.helpInformation());
  if (command === program) process.stdout.write("\n`sandgate help exit-codes` lists the exit codes.\n");
  return exitCodes.ok;
}
