import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Mode, type PolicyRevision, PolicyRevisionSchema, PolicyService } from "@sandgate/api/policy";
import type { CommandContext } from "../command-context.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { SuiteConnection } from "../suite-connection.ts";
import { formatTable } from "../table.ts";

/** `sandgate policy history`: the revisions of a sandbox's policy, newest first. */
export async function printHistory(
  context: CommandContext,
  sandbox: string,
  { limit }: { readonly limit: number },
): Promise<number> {
  const { output } = context;
  const { signal } = context.interruptions;
  const connection = new SuiteConnection(context.clientFile());
  const client = connection.client("policy", PolicyService);
  const { enforcement } = await client.getPolicy({ sandbox }, { signal });
  const revisions: PolicyRevision[] = [];
  let pageToken = "";
  do {
    const pageSize = Math.max(1, Math.min(100, limit - revisions.length));
    const page = await client.listPolicyRevisions({ sandbox, pageSize, pageToken }, { signal });
    revisions.push(...page.revisions);
    pageToken = page.nextPageToken;
  } while (pageToken !== "" && revisions.length < limit);
  connection.close();
  for (const revision of revisions) output.event(messageJson(PolicyRevisionSchema, revision));
  output.line(
    formatTable(
      ["revision", "set", "rules", "mode", "by", ""],
      revisions.map(({ revision, createTime, policy, author }) => [
        String(revision),
        createTime === undefined ? "" : new Date(timestampMs(createTime)).toISOString(),
        String(policy?.rules.length ?? 0),
        policy?.mode === Mode.OBSERVE ? "observe" : "enforce",
        escapeLine(author),
        revision === enforcement?.revision ? "enforced" : "",
      ]),
    ),
  );
  return exitCodes.ok;
}
