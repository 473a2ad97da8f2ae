import { type User, UserSchema } from "@sandgate/api/auth";
import { Role } from "@sandgate/api/options";
import { escapeLine } from "./escape-control.ts";
import { messageJson } from "./message-json.ts";
import type { Output } from "./output.ts";

/** Prints a user as they are after a change. */
export function printUser(output: Output, user: User | undefined): void {
  if (user === undefined) throw new Error("the service answered without a user");
  output.document(messageJson(UserSchema, user));
  const role = (Role[user.role] ?? "").toLowerCase();
  output.line(
    `${escapeLine(user.login === "" ? user.userId : user.login)}: ${role}, ${user.active ? "active" : "disabled"}`,
  );
}
