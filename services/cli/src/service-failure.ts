import { describeReason, ServiceError } from "@sandgate/rpc";
import type { FailureReport } from "./command-failure.ts";
import { exitCodeOfStatus, exitCodes } from "./exit-codes.ts";

/** What to tell the user about a server's refusal: its message, the mend of its reason, and the exit code of its status. */
export function describeServiceFailure(error: Error): FailureReport {
  if (!(error instanceof ServiceError)) return { message: error.message, exitCode: exitCodes.failed };
  const { code, mend } = describeReason(error.reason);
  return {
    message: error.message,
    mend: error.metadata["mend"] ?? mend, // a server that knows more says more
    reason: error.reason,
    metadata: error.metadata,
    exitCode: exitCodeOfStatus(code, error.reason),
  };
}
