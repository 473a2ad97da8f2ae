import { PolicyService } from "@sandgate/api/policy";
import type { CommandContext } from "../command-context.ts";
import { SuiteConnection } from "../suite-connection.ts";
import { type StorePolicyOptions, storePolicy } from "./policy-set.ts";

/** `sandgate policy rollback`: stores what a policy was in an earlier revision as the next one, if nobody has set another meanwhile. */
export async function rollBack(
  context: CommandContext,
  sandbox: string,
  revision: number,
  options: Omit<StorePolicyOptions, "expectRevision">,
): Promise<number> {
  const { signal } = context.interruptions;
  const connection = new SuiteConnection(context.clientFile());
  const client = connection.client("policy", PolicyService);
  const [former, newest] = await Promise.all([
    client.getPolicy({ sandbox, revision: BigInt(revision) }, { signal }),
    client.getPolicy({ sandbox }, { signal }),
  ]);
  connection.close();
  const expectRevision = Number(newest.revision?.revision ?? 0n);
  return storePolicy(context, sandbox, former.revision?.policy ?? {}, { ...options, expectRevision });
}
