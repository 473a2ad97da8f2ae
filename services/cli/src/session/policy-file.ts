import { readFile } from "node:fs/promises";
import { buffer } from "node:stream/consumers";
import { type PolicyCheck, parseAuthoredPolicy } from "@sandgate/policy";
import { parse, YAMLParseError } from "yaml";
import { CommandFailure } from "../command-failure.ts";
import { exitCodes } from "../exit-codes.ts";

/** Reads and lints a policy file, YAML or JSON; "-" is standard input. Refuses a file that cannot be read. */
export async function checkPolicyFile(file: string): Promise<PolicyCheck> {
  const text = await readText(file);
  try {
    return parseAuthoredPolicy(parse(text));
  } catch (error) {
    if (!(error instanceof YAMLParseError)) throw error;
    const [at] = error.linePos ?? [];
    const where = at === undefined ? "" : `line ${at.line}, column ${at.col}: `;
    const what = error.code.toLowerCase().replaceAll("_", " ");
    return { ok: false, faults: [{ rule: "", field: "", message: `${where}${what}` }] };
  }
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
