import { PolicyService } from "@sandgate/api/policy";
import { type AuthoredPolicy, formatAuthoredPolicy } from "@sandgate/policy";
import type { CommandContext } from "../command-context.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { comparePolicies, formatDifference } from "../policy-difference.ts";
import { readRequestedPolicy } from "../session/policy-source.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** `sandgate policy diff`: what makes one policy of another; each is a revision of the sandbox's, or a file. */
export async function printDifference(
  context: CommandContext,
  sandbox: string,
  from: string,
  to: string | undefined,
): Promise<number> {
  const { output } = context;
  const connection = new SuiteConnection(context.clientFile());
  const client = connection.client("policy", PolicyService);
  const read = async (source: string): Promise<AuthoredPolicy> => {
    if (!/^[0-9]{1,15}$/.test(source)) {
      const policy = await readRequestedPolicy({ allow: [], file: source });
      return formatAuthoredPolicy(policy ?? { rules: [] });
    }
    const { signal } = context.interruptions;
    const { revision } = await client.getPolicy({ sandbox, revision: BigInt(source) }, { signal });
    return formatAuthoredPolicy(revision?.policy ?? { rules: [] });
  };
  const difference = comparePolicies(await read(from), await read(to ?? "0"));
  connection.close();
  output.document(difference);
  for (const line of formatDifference(difference)) {
    const { green, red } = output.colors;
    output.line((line.startsWith("+") ? green : red)(escapeLine(line)));
  }
  return exitCodes.ok;
}
