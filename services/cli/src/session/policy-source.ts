import { readFile } from "node:fs/promises";
import { buffer } from "node:stream/consumers";
import type { PolicyCheck, PolicyFault, PolicyMessage } from "@sandgate/policy";
import { CommandFailure, usageFailure } from "../command-failure.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";

/** The policy that `--allow` and `--policy` ask for; undefined if neither is there. Refuses both, and what lint finds. */
export async function readRequestedPolicy(options: {
  allow: readonly string[];
  file: string | undefined;
}): Promise<PolicyMessage | undefined> {
  if (options.file !== undefined) {
    if (options.allow.length > 0)
      throw usageFailure("--allow and a policy file cannot be given together", "put the hosts into the file");
    return requirePolicy(await checkPolicyFile(options.file), options.file);
  }
  if (options.allow.length === 0) return undefined;
  const { policyOfHosts } = await import("@sandgate/policy");
  return requirePolicy(policyOfHosts(options.allow), "--allow");
}

/** Reads and lints a policy file; "-" is standard input. */
export async function checkPolicyFile(file: string): Promise<PolicyCheck> {
  const [{ parseAuthoredPolicy }, { parse, YAMLParseError }, text] = await Promise.all([
    import("@sandgate/policy"),
    import("yaml"),
    readText(file),
  ]);
  try {
    return parseAuthoredPolicy(parse(text));
  } catch (error) {
    if (!(error instanceof YAMLParseError)) throw error;
    const [at] = error.linePos ?? [];
    const where = at === undefined ? "" : `line ${at.line}, column ${at.col}: `;
    return {
      ok: false,
      faults: [{ rule: "", field: "", message: `${where}${error.code.toLowerCase().replaceAll("_", " ")}` }],
    };
  }
}

/** One line for a fault of a policy: where, and what. */
export function describePolicyFault(fault: PolicyFault): string {
  const where = [fault.rule, fault.field].filter((part) => part !== "").join(", ");
  return escapeLine(where === "" ? fault.message : `${where}: ${fault.message}`);
}

function requirePolicy(check: PolicyCheck, source: string): PolicyMessage {
  if (check.ok) return check.policy;
  throw new CommandFailure({
    message: `the policy of ${source} has faults: ${check.faults.map(describePolicyFault).join("; ")}`,
    mend: "correct them; `sandgate policy lint FILE` checks a file",
    exitCode: exitCodes.usage,
  });
}

async function readText(file: string): Promise<string> {
  if (file === "-") return (await buffer(process.stdin)).toString("utf8");
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    throw new CommandFailure(
      {
        message: `${file} cannot be read`,
        mend: "name a file that exists and that you may read",
        exitCode: exitCodes.usage,
      },
      { cause },
    );
  }
}
