import { type Sandbox, SandboxSchema, SandboxService } from "@sandgate/api/sandbox";
import type { Client } from "@sandgate/rpc";
import type { CommandContext } from "../command-context.ts";
import type { FailureReport } from "../command-failure.ts";
import { describeFailure } from "../describe-failure.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { SuiteConnection } from "../suite-connection.ts";

/**
 * Changes sandboxes, all at once, and tells of each: `done` is the word for a change that was made. One that cannot be changed does not keep
 * the others from being. Answers the exit code: that of the first failure.
 */
export async function changeSandboxes(
  context: CommandContext,
  names: readonly string[],
  done: string,
  change: (client: Client<typeof SandboxService>, name: string) => Promise<Sandbox>,
): Promise<number> {
  const { output } = context;
  const connection = new SuiteConnection(context.clientFile());
  const client = connection.client("sandbox", SandboxService);
  const outcomes = await Promise.all(
    names.map(async (name) => {
      try {
        return { name, sandbox: await change(client, name) };
      } catch (error) {
        return { name, failure: await describeFailure(error) };
      }
    }),
  );
  connection.close();
  const failures: FailureReport[] = [];
  for (const outcome of outcomes) {
    if (outcome.failure === undefined) output.line(`${escapeLine(outcome.name)} ${done}`);
    else failures.push(outcome.failure);
  }
  output.document({
    [done]: outcomes.flatMap(({ sandbox }) => (sandbox === undefined ? [] : [messageJson(SandboxSchema, sandbox)])),
    failed: outcomes.flatMap(({ name, failure }) => (failure === undefined ? [] : [{ sandbox: name, error: failure }])),
  });
  if (!output.json) for (const failure of failures) output.failure(failure);
  return failures[0]?.exitCode ?? exitCodes.ok;
}
