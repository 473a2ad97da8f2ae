import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { InviteUserResponse } from "@sandgate/api/auth";
import { escapeLine } from "./escape-control.ts";
import type { Output } from "./output.ts";

/** Prints an invitation's token, this once, and what is to be done with it. */
export function printInvitation(
  output: Output,
  login: string,
  invitation: Pick<InviteUserResponse, "token" | "expireTime">,
): void {
  const { token, expireTime } = invitation;
  output.line(token);
  const until = expireTime === undefined ? "" : ` before ${new Date(timestampMs(expireTime)).toISOString()}`;
  output.note(`hand it to ${escapeLine(login)}, who runs \`sandgate user accept-invitation\`${until}; it works once`);
}
