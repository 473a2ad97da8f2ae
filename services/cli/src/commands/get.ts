import { SandboxSchema, SandboxService } from "@sandgate/api/sandbox";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { printSandbox } from "../sandbox-view.ts";
import { waitUntilReady } from "../session/wait-until-ready.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate get`. */
export interface GetOptions {
  readonly wait?: boolean;
  readonly timeout: number;
}

/** `sandgate get`: one sandbox, at once or when it is READY. */
export async function getSandbox(context: CommandContext, name: string, options: GetOptions): Promise<number> {
  const connection = new SuiteConnection(context.clientFile());
  const client = connection.client("sandbox", SandboxService);
  const { signal } = context.interruptions;
  const sandbox =
    options.wait === true
      ? await waitUntilReady({ client, sandbox: name, output: context.output, signal, timeoutMs: options.timeout })
      : (await client.getSandbox({ sandbox: name }, { signal })).sandbox;
  connection.close();
  if (sandbox === undefined) throw new Error("the service answered without a sandbox");
  context.output.document(messageJson(SandboxSchema, sandbox));
  printSandbox(context.output, sandbox);
  return exitCodes.ok;
}
