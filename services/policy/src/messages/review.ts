import { ServiceError } from "@sandgate/rpc";
import type { Review } from "../domain/proposal.ts";
import type { PolicyAuthor } from "../store/policy-store.ts";
import { readReason } from "./reason.ts";

/** Who reviews a proposal, in which version, and why. Throws REQUEST_INVALID where no version is named. */
export function readReview(
  request: { readonly expectedVersion: bigint; readonly reason?: string },
  author: PolicyAuthor,
  atMs: number,
): Review {
  if (request.expectedVersion < 1n)
    throw new ServiceError("REQUEST_INVALID", "the version that was reviewed is missing", {
      field: "expected_version",
    });
  return {
    reviewer: author.principal,
    reason: readReason(request.reason ?? ""),
    atMs,
    expectedVersion: request.expectedVersion,
  };
}
