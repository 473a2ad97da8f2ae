import { findCommandFaults, findEnvironmentFaults } from "./parse-spec.ts";
import type { FieldFault } from "./request-faults.ts";

const maximumTerminalSide = 4096;

/** Everything that is wrong with a command to run in a sandbox. */
export function findExecFaults(start: {
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly workingDirectory: string;
  readonly terminal?: { readonly rows: number; readonly columns: number } | undefined;
}): readonly FieldFault[] {
  const faults = [
    ...findCommandFaults(start.command, "start.command"),
    ...findEnvironmentFaults(start.environment, "start.environment"),
  ];
  if (start.command.length === 0) faults.push({ field: "start.command", fault: "must have at least one word" });
  if (start.workingDirectory.length > 4096 || start.workingDirectory.includes("\0"))
    faults.push({ field: "start.working_directory", fault: "must be a path of at most 4096 characters" });
  if (start.terminal !== undefined) faults.push(...findTerminalFaults(start.terminal, "start.terminal"));
  return faults;
}

/** What is wrong with the size of a terminal. `path` is the field's path in the request. */
export function findTerminalFaults(
  { rows, columns }: { readonly rows: number; readonly columns: number },
  path: string,
): readonly FieldFault[] {
  if (isSide(rows) && isSide(columns)) return [];
  return [{ field: path, fault: `must have 1 to ${maximumTerminalSide} rows and columns` }];
}

function isSide(length: number): boolean {
  return length >= 1 && length <= maximumTerminalSide;
}
