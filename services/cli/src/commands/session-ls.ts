import { timestampMs } from "@bufbuild/protobuf/wkt";
import { AuthService, type SandboxSession, SandboxSessionSchema } from "@sandgate/api/auth";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { SuiteConnection } from "../suite-connection.ts";
import { formatTable } from "../table.ts";

/** Options of `sandgate session ls`. */
export interface ListSessionsOptions {
  readonly sandbox?: string;
  readonly user?: string;
  readonly limit: number;
}

/** `sandgate session ls`: the live sessions of container tokens, newest first. */
export async function listSessions(context: CommandContext, options: ListSessionsOptions): Promise<number> {
  const { output } = context;
  const connection = new SuiteConnection(context.clientFile());
  const client = connection.client("auth", AuthService);
  const sessions: SandboxSession[] = [];
  let pageToken = "";
  do {
    const page = await client.listSandboxSessions(
      {
        pageSize: Math.min(1000, options.limit - sessions.length),
        pageToken,
        sandbox: options.sandbox ?? "",
        userId: options.user ?? "",
      },
      { signal: context.interruptions.signal },
    );
    sessions.push(...page.sessions);
    pageToken = page.nextPageToken;
  } while (pageToken !== "" && sessions.length < options.limit);
  connection.close();
  output.document({ sessions: sessions.map((session) => messageJson(SandboxSessionSchema, session)) });
  if (sessions.length === 0) output.note("no sessions");
  else output.line(formatTable(["id", "sandbox", "user", "audience", "by", "until"], sessions.map(rowOf)));
  return exitCodes.ok;
}

/** `sandgate session get`: one live session. */
export async function getSession(context: CommandContext, tokenId: string): Promise<number> {
  const { output } = context;
  const connection = new SuiteConnection(context.clientFile());
  const { session } = await connection
    .client("auth", AuthService)
    .getSandboxSession({ key: { case: "tokenId", value: tokenId } }, { signal: context.interruptions.signal });
  connection.close();
  if (session === undefined) throw new Error("the service answered without a session");
  output.document(messageJson(SandboxSessionSchema, session));
  output.line(formatTable(["id", "sandbox", "user", "audience", "by", "until"], [rowOf(session)]));
  return exitCodes.ok;
}

function rowOf(session: SandboxSession): readonly string[] {
  const until = session.expireTime === undefined ? "" : new Date(timestampMs(session.expireTime)).toISOString();
  const by = session.bySupervisor ? "supervisor" : "user";
  return [session.tokenId, session.sandboxId, session.userId, session.audience, by, until];
}
