import { SandboxService, type SandboxTemplate, SandboxTemplateSchema } from "@sandgate/api/sandbox";
import type { CommandContext } from "../command-context.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { ageOf } from "../sandbox-view.ts";
import { SuiteConnection } from "../suite-connection.ts";
import { formatTable } from "../table.ts";

/** `sandgate template ls`: the templates of the caller's organization, by name. */
export async function listTemplates(context: CommandContext): Promise<number> {
  const { output } = context;
  const connection = new SuiteConnection(context.clientFile());
  const client = connection.client("sandbox", SandboxService);
  const templates: SandboxTemplate[] = [];
  let pageToken = "";
  do {
    const page = await client.listSandboxTemplates(
      { pageSize: 1000, pageToken },
      { signal: context.interruptions.signal },
    );
    templates.push(...page.templates);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  connection.close();
  output.document({ templates: templates.map((template) => messageJson(SandboxTemplateSchema, template)) });
  if (templates.length === 0) output.note("no templates");
  else
    output.line(
      formatTable(
        ["name", "age", "command"],
        templates.map(({ name, createTime, spec }) => [
          escapeLine(name),
          ageOf(createTime, Date.now()),
          escapeLine((spec?.command ?? []).join(" ")).slice(0, 60),
        ]),
      ),
    );
  return exitCodes.ok;
}
