import { ServiceError } from "@sandgate/rpc";
import { cleanText } from "../domain/clean-text.ts";
import { submissionLimits } from "../domain/proposal-limits.ts";

/** What somebody gives as a reason. Control characters stay: they are escaped where it is shown. Throws REQUEST_INVALID for a long one. */
export function readReason(reason: string): string {
  if (reason.length > submissionLimits.reason)
    throw new ServiceError("REQUEST_INVALID", "a reason has at most 1000 characters", { field: "reason" });
  return cleanText(reason, submissionLimits.reason);
}
