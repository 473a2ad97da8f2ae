import type { AuthService } from "@sandgate/api/auth";
import type { Handler } from "@sandgate/rpc";
import type { OperatorCertificateStore } from "../store/operator-certificate-store.ts";
import { operatorCertificateMessage } from "./operator-certificate-message.ts";
import { pageOf, readPage } from "./read-page.ts";
import { requireUserPrincipal } from "./require-user-principal.ts";

/** AuthService.ListOperatorCertificates: with what the operators of the caller's organization call. */
export function listOperatorCertificates(deps: {
  readonly certificates: Pick<OperatorCertificateStore, "list">;
}): Handler<typeof AuthService.method.listOperatorCertificates> {
  return async (request, call) => {
    const { organizationId } = requireUserPrincipal(call);
    const filter = { list: "operator certificates", organizationId };
    const range = readPage(request, filter);
    const found = await deps.certificates.list(organizationId, { ...range, limit: range.limit + 1 });
    const { page, nextPageToken } = pageOf(found, range, ({ sha256 }) => sha256, filter);
    return { certificates: page.map(operatorCertificateMessage), nextPageToken };
  };
}
