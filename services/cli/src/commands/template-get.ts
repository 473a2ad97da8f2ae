import { SandboxService, SandboxTemplateSchema } from "@sandgate/api/sandbox";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { SuiteConnection } from "../suite-connection.ts";
import { printTemplate } from "../template-view.ts";

/** `sandgate template get`: one template. */
export async function getTemplate(context: CommandContext, name: string): Promise<number> {
  const connection = new SuiteConnection(context.clientFile());
  const { template } = await connection
    .client("sandbox", SandboxService)
    .getSandboxTemplate({ name }, { signal: context.interruptions.signal });
  connection.close();
  if (template === undefined) throw new Error("the service answered without a template");
  context.output.document(messageJson(SandboxTemplateSchema, template));
  printTemplate(context.output, template);
  return exitCodes.ok;
}
