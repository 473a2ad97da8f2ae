import type { SandboxService } from "@sandgate/api/sandbox";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { findPathFaults } from "../domain/file-faults.ts";
import { askSupervisor, type RelayDeps } from "./relay-call.ts";
import { requireNoFaults } from "./require-no-faults.ts";

const maximumPageSize = 1000;

/** SandboxService.ListFiles: what a path of a READY sandbox names, and what is in it. */
export function listFiles(deps: RelayDeps): Handler<typeof SandboxService.method.listFiles> {
  return async (request, call) => {
    const { path, pageSize, pageToken } = request;
    requireNoFaults([
      ...(path === "" ? [] : findPathFaults(path, "path")),
      ...(pageSize >= 0 && pageSize <= maximumPageSize ? [] : [{ field: "page_size", fault: "must be at most 1000" }]),
    ]);
    if (!/^[A-Za-z0-9_-]{0,1400}$/.test(pageToken))
      throw new ServiceError("PAGE_TOKEN_INVALID", "the page token is not one of this list");
    const operation = { case: "listFiles", value: { ...request, path: path === "" ? "." : path } } as const;
    return askSupervisor(deps, call, operation, ({ case: kind, value }) => (kind === "listFiles" ? value : undefined));
  };
}
