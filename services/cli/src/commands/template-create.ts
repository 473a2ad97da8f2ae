import { randomUUID } from "node:crypto";
import { SandboxService, SandboxTemplateSchema } from "@sandgate/api/sandbox";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { type DescribedSandboxOptions, readDescribedSandbox } from "../session/described-sandbox.ts";
import { SuiteConnection } from "../suite-connection.ts";
import { printTemplate } from "../template-view.ts";

/** `sandgate template create`: keeps what sandboxes are to be made from. */
export async function createTemplate(
  context: CommandContext,
  name: string,
  command: readonly string[],
  options: DescribedSandboxOptions,
): Promise<number> {
  const described = await readDescribedSandbox(options, command);
  const connection = new SuiteConnection(context.clientFile());
  const { template } = await connection
    .client("sandbox", SandboxService)
    .createSandboxTemplate(
      { requestId: randomUUID(), template: { name, ...described } },
      { signal: context.interruptions.signal },
    );
  connection.close();
  if (template === undefined) throw new Error("the service answered without a template");
  context.output.document(messageJson(SandboxTemplateSchema, template));
  printTemplate(context.output, template);
  return exitCodes.ok;
}
