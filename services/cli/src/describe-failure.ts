import { CommandFailure, type FailureReport } from "./command-failure.ts";
import { exitCodes } from "./exit-codes.ts";

/** What to tell the user about anything that a command threw. */
export async function describeFailure(error: unknown): Promise<FailureReport> {
  if (error instanceof CommandFailure) return error.report;
  if (error instanceof Error && error.name === "ServiceError") {
    const { describeServiceFailure } = await import("./service-failure.ts");
    return describeServiceFailure(error);
  }
  if (error instanceof Error) {
    const exitCode = "exitCode" in error && typeof error.exitCode === "number" ? error.exitCode : exitCodes.failed;
    return { message: error.message, exitCode };
  }
  return { message: String(error), exitCode: exitCodes.failed };
}
