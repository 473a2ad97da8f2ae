import type { SandboxService } from "@sandgate/api/sandbox";
import { decodePageToken, encodePageToken, PageTokenError } from "@sandgate/postgres";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { readPageSize } from "../domain/page-size.ts";
import type { TemplateStore } from "../store/template-store.ts";
import { requireNoFaults } from "./require-no-faults.ts";
import { requireUser } from "./require-user.ts";
import { toTemplateMessage } from "./template-message.ts";

/** SandboxService.ListSandboxTemplates: the caller's organization's templates by name, page by page. */
export function listSandboxTemplates(deps: {
  readonly templates: Pick<TemplateStore, "listTemplates">;
}): Handler<typeof SandboxService.method.listSandboxTemplates> {
  return async ({ pageSize, pageToken }, call) => {
    const { organizationId } = requireUser(call);
    const { limit, faults } = readPageSize(pageSize);
    requireNoFaults(faults);
    const filter = { templates: organizationId };
    const afterName = readName(pageToken, filter);
    const rows = await deps.templates.listTemplates({ organizationId, afterName, limit: limit + 1 });
    const page = rows.slice(0, limit);
    const last = page.at(-1);
    return {
      templates: page.map(toTemplateMessage),
      nextPageToken: rows.length > limit && last !== undefined ? encodePageToken(last.name, filter) : "",
    };
  };
}

function readName(token: string, filter: Readonly<Record<string, string>>): string {
  const parse = (position: unknown): string => {
    if (typeof position !== "string") throw new TypeError("not a position in a list of templates");
    return position;
  };
  try {
    return decodePageToken(token, parse, filter) ?? "";
  } catch (cause) {
    if (!(cause instanceof PageTokenError)) throw cause;
    throw new ServiceError("PAGE_TOKEN_INVALID", "the page token is not one of this list", { field: "page_token" });
  }
}
