import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { UserSchema } from "@sandgate/api/auth";
import type { UserListing } from "../store/user-directory.ts";

/** A user as administrators see them. */
export function userMessage(user: UserListing): MessageInitShape<typeof UserSchema> {
  return {
    userId: user.userId,
    login: user.login ?? "",
    name: user.name,
    role: user.role,
    active: user.active,
    configured: user.configured,
    createTime: timestampFromMs(user.createdAtMs),
    ...(user.loggedInAtMs === undefined ? {} : { lastLoginTime: timestampFromMs(user.loggedInAtMs) }),
  };
}
