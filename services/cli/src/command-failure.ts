import { exitCodes } from "./exit-codes.ts";

/** What a command tells its user when it cannot do what was asked. */
export interface FailureReport {
  /** One line of plain words. */
  readonly message: string;
  /** What to do about it. */
  readonly mend?: string;
  /** The server's error reason, if a server refused. */
  readonly reason?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly exitCode: number;
}

/** A failure that the command itself found. Carries its mend and the exit code. */
export class CommandFailure extends Error {
  override readonly name = "CommandFailure";
  readonly report: FailureReport;

  constructor(report: Omit<FailureReport, "exitCode"> & { exitCode?: number }, options?: ErrorOptions) {
    super(report.message, options);
    this.report = { ...report, exitCode: report.exitCode ?? exitCodes.failed };
  }
}

/** A wrong argument or option: exit code 2. */
export function usageFailure(message: string, mend?: string): CommandFailure {
  return new CommandFailure({ message, exitCode: exitCodes.usage, ...(mend === undefined ? {} : { mend }) });
}
