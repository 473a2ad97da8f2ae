import { PolicyService } from "@sandgate/api/policy";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-codes.ts";
import { formatPolicyFile, policyDocument } from "../policy-view.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate policy get`. */
export interface GetPolicyOptions {
  readonly revision: number;
}

/** `sandgate policy get`: a policy in the form that `policy set` takes. */
export async function getPolicy(context: CommandContext, sandbox: string, options: GetPolicyOptions): Promise<number> {
  const connection = new SuiteConnection(context.clientFile());
  const response = await connection
    .client("policy", PolicyService)
    .getPolicy({ sandbox, revision: BigInt(options.revision) }, { signal: context.interruptions.signal });
  connection.close();
  context.output.document(policyDocument(response));
  context.output.line(formatPolicyFile(response));
  return exitCodes.ok;
}
