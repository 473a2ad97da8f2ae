import type { AuthService } from "@sandgate/api/auth";
import { decodePageToken, encodePageToken, PageTokenError } from "@sandgate/postgres";
import { type Handler, ServiceError } from "@sandgate/rpc";
import type { AuthStore } from "../store/auth-store.ts";
import type { SandboxSessionQuery, SandboxSessionStore } from "../store/sandbox-session-store.ts";
import { requireUserPrincipal } from "./require-user-principal.ts";
import { toSandboxSession } from "./sandbox-session-message.ts";
import { requireSandboxOf, requireUserId } from "./session-fields.ts";

/** AuthService.ListSandboxSessions: the live sessions of container tokens, newest first. */
export function listSandboxSessions(deps: {
  readonly store: Pick<AuthStore, "findSandbox" | "findSandboxByName">;
  readonly sessions: Pick<SandboxSessionStore, "list">;
  readonly clock: () => number;
}): Handler<typeof AuthService.method.listSandboxSessions> {
  return async ({ pageSize, pageToken, sandbox, userId }, call) => {
    const { organizationId } = requireUserPrincipal(call);
    if (pageSize < 0 || pageSize > 1_000)
      throw new ServiceError("REQUEST_INVALID", "a page has at most 1000 sessions", { field: "page_size" });
    const sandboxId = sandbox === "" ? undefined : await requireSandboxOf(organizationId, sandbox, deps.store);
    const user = userId === "" ? undefined : requireUserId(userId);
    const filter = { list: "sandbox-sessions", organizationId, sandbox: sandboxId ?? "", user: user ?? "" };
    const page = await deps.sessions.list(
      {
        organizationId,
        sandboxId,
        userId: user,
        pageSize: pageSize === 0 ? 100 : pageSize,
        before: readPosition(pageToken, filter),
      },
      deps.clock(),
    );
    const last = page.items.at(-1);
    return {
      sessions: page.items.map(toSandboxSession),
      nextPageToken: page.more && last !== undefined ? encodePageToken([last.issuedAtMs, last.tokenId], filter) : "",
    };
  };
}

function readPosition(pageToken: string, filter: Readonly<Record<string, string>>): SandboxSessionQuery["before"] {
  try {
    return decodePageToken(
      pageToken,
      (position) => {
        const [issuedAtMs, tokenId] = Array.isArray(position) ? position : [];
        if (!Number.isSafeInteger(issuedAtMs) || typeof tokenId !== "string") throw new TypeError("not a position");
        return { issuedAtMs: Number(issuedAtMs), tokenId };
      },
      filter,
    );
  } catch (cause) {
    if (!(cause instanceof PageTokenError)) throw cause;
    throw new ServiceError("PAGE_TOKEN_INVALID", "the page token is not of this list", {}, { cause });
  }
}
