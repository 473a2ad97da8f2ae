import { timestampMs } from "@bufbuild/protobuf/wkt";
import { AuthService, type Invitation, InvitationSchema, type User, UserSchema } from "@sandgate/api/auth";
import { Role } from "@sandgate/api/options";
import type { CommandContext } from "../command-context.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { SuiteConnection } from "../suite-connection.ts";
import { formatTable } from "../table.ts";

/** `sandgate user ls`: the users of the caller's organization, and who is invited. */
export async function listUsers(context: CommandContext): Promise<number> {
  const { output } = context;
  const { signal } = context.interruptions;
  const connection = new SuiteConnection(context.clientFile());
  const auth = connection.client("auth", AuthService);
  const users: User[] = [];
  const invitations: Invitation[] = [];
  let pageToken = "";
  do {
    const page = await auth.listUsers({ pageSize: 1_000, pageToken }, { signal });
    users.push(...page.users);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  do {
    const page = await auth.listInvitations({ pageSize: 1_000, pageToken }, { signal });
    invitations.push(...page.invitations);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  connection.close();

  output.document({
    users: users.map((user) => messageJson(UserSchema, user)),
    invitations: invitations.map((invitation) => messageJson(InvitationSchema, invitation)),
  });
  const roleOf = (role: Role) => (Role[role] ?? String(role)).toLowerCase();
  const dateOf = (time: Parameters<typeof timestampMs>[0] | undefined) =>
    time === undefined ? "" : new Date(timestampMs(time)).toISOString();
  output.line(
    formatTable(
      ["login", "name", "role", "state", "last login", "id"],
      [
        ...users.map((user) => [
          escapeLine(user.login),
          escapeLine(user.name),
          roleOf(user.role),
          user.active ? (user.configured ? "configured" : "active") : output.colors.red("disabled"),
          dateOf(user.lastLoginTime),
          user.userId,
        ]),
        ...invitations.map((invitation) => [
          escapeLine(invitation.login),
          "",
          roleOf(invitation.role),
          `invited until ${dateOf(invitation.expireTime)}`,
          "",
          invitation.invitationId,
        ]),
      ],
    ),
  );
  return exitCodes.ok;
}
