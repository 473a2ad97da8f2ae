import { Phase as PhaseMessage, type SandboxService } from "@sandgate/api/sandbox";
import { decodePageToken, encodePageToken, PageTokenError } from "@sandgate/postgres";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { findLabelFaults, sortLabels } from "../domain/labels.ts";
import { readPageSize } from "../domain/page-size.ts";
import { type Phase, phases } from "../domain/phase.ts";
import { isUuid } from "../domain/request-id.ts";
import type { ListPosition, SandboxStore } from "../store/sandbox-store.ts";
import { requireNoFaults } from "./require-no-faults.ts";
import { requireUser } from "./require-user.ts";
import { toSandboxMessage } from "./sandbox-message.ts";

/** SandboxService.ListSandboxes: the caller's organization's sandboxes, newest first, page by page. */
export function listSandboxes(deps: {
  readonly store: Pick<SandboxStore, "list">;
  readonly trustDomain: string;
}): Handler<typeof SandboxService.method.listSandboxes> {
  return async (request, call) => {
    const { organizationId } = requireUser(call);
    const { limit, faults } = readPageSize(request.pageSize);
    const { labels } = request;
    const ownerUserId = request.ownerUserId === "" ? undefined : request.ownerUserId.toLowerCase();
    const asked = phases.filter((phase) => request.phases.includes(PhaseMessage[phase]));
    const unknown = request.phases.some((phase) => !phases.some((known) => PhaseMessage[known] === phase));
    requireNoFaults([
      ...faults,
      ...(unknown ? [{ field: "phases", fault: "must be phases" }] : []),
      ...findLabelFaults(labels),
      ...(ownerUserId === undefined || isUuid(ownerUserId)
        ? []
        : [{ field: "owner_user_id", fault: "must be a UUID" }]),
    ]);
    const wanted: readonly Phase[] = asked.length > 0 ? asked : phases.filter((phase) => phase !== "DELETED");
    const filter = {
      organizationId,
      phases: wanted.join(),
      labels: JSON.stringify(sortLabels(labels)),
      owner: ownerUserId ?? "",
    };
    const rows = await deps.store.list({
      organizationId,
      phases: wanted,
      labels,
      ownerUserId,
      after: readPosition(request.pageToken, filter),
      limit: limit + 1,
    });
    const page = rows.slice(0, limit);
    const last = page.at(-1);
    return {
      sandboxes: page.map((record) => toSandboxMessage(record, deps.trustDomain)),
      nextPageToken:
        rows.length > limit && last !== undefined ? encodePageToken([last.createTimeMs, last.id], filter) : "",
    };
  };
}

function readPosition(token: string, filter: Readonly<Record<string, string>>): ListPosition | undefined {
  try {
    return decodePageToken(token, parsePosition, filter);
  } catch (cause) {
    if (!(cause instanceof PageTokenError)) throw cause;
    throw new ServiceError("PAGE_TOKEN_INVALID", "the page token is not one of this list", { field: "page_token" });
  }
}

function parsePosition(position: unknown): ListPosition {
  const [createTimeMs, id] = Array.isArray(position) ? position : [];
  if (!Number.isSafeInteger(createTimeMs) || typeof id !== "string" || !/^sbx-[a-z2-7]{20}$/.test(id))
    throw new TypeError("not a position in a list of sandboxes");
  return { createTimeMs, id };
}
