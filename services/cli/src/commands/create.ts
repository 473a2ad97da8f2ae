import { randomUUID } from "node:crypto";
import { type Sandbox, SandboxSchema, SandboxService } from "@sandgate/api/sandbox";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { printSandbox } from "../sandbox-view.ts";
import { type DescribedSandboxOptions, readDescribedSandbox } from "../session/described-sandbox.ts";
import { waitUntilReady } from "../session/wait-until-ready.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate create`. */
export interface CreateOptions extends DescribedSandboxOptions {
  readonly template?: string;
  readonly wait: boolean;
  readonly timeout: number;
}

/** `sandgate create`: creates a sandbox and waits until it is READY. */
export async function createSandbox(
  context: CommandContext,
  name: string | undefined,
  command: readonly string[],
  options: CreateOptions,
): Promise<number> {
  const described = await readDescribedSandbox(options, command);
  const connection = new SuiteConnection(context.clientFile());
  const client = connection.client("sandbox", SandboxService);
  const { sandbox } = await client.createSandbox(
    { requestId: randomUUID(), name: name ?? "", template: options.template ?? "", ...described },
    { signal: context.interruptions.signal },
  );
  const created: Sandbox | undefined = sandbox;
  if (created === undefined) throw new Error("the service answered without a sandbox");
  const ready = options.wait
    ? await waitUntilReady({
        client,
        sandbox: created.id,
        output: context.output,
        signal: context.interruptions.signal,
        timeoutMs: options.timeout,
      })
    : created;
  context.output.document(messageJson(SandboxSchema, ready));
  printSandbox(context.output, ready);
  connection.close();
  return exitCodes.ok;
}
