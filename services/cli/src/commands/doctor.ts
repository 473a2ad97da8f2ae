import { findClientFile } from "../client-file.ts";
import type { CommandContext } from "../command-context.ts";
import type { Finding } from "../doctor/finding.ts";
import { machineFindings } from "../doctor/machine-findings.ts";
import { suiteFindings } from "../doctor/suite-findings.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { findSuiteFile } from "../suite/suite-file.ts";

/** `sandgate doctor`: exit code 1 if sandboxes cannot run here. */
export async function doctor(context: CommandContext): Promise<number> {
  const { output } = context;
  const { colors } = output;
  const directories = context.directories();
  const client = findClientFile(context.namedClientFile ?? directories.clientFile);
  const machine = machineFindings({
    userId: context.environment.userId,
    state: directories.state,
    driver: findSuiteFile(directories.suiteFile)?.driver?.kind ?? "local",
  });
  const suite: readonly Finding[] =
    client === undefined
      ? [
          {
            name: "suite",
            level: "ok",
            message: "not running; while it runs, doctor also says what its driver enforces and proves",
          },
        ]
      : await suiteFindings(client, context.interruptions.signal);
  const findings = [...machine, ...suite];
  const canRun = findings.every(({ level }) => level !== "fail");

  output.document({ canRunSandboxes: canRun, findings });
  const marks = { ok: colors.green("ok  "), warn: colors.yellow("warn"), fail: colors.red("FAIL") };
  for (const { name, level, message, mend } of findings) {
    output.line(`${marks[level]}  ${colors.dim(name.padEnd(14))} ${escapeLine(message)}`);
    if (mend !== undefined) output.line(`      ${" ".repeat(14)} ${colors.dim("→")} ${escapeLine(mend)}`);
  }
  output.line();
  output.line(canRun ? colors.green("sandboxes can run here") : colors.red("sandboxes cannot run here"));
  return canRun ? exitCodes.ok : exitCodes.failed;
}
