import { PolicyService, SimulatePolicyResponseSchema } from "@sandgate/api/policy";
import type { CommandContext } from "../command-context.ts";
import { usageFailure } from "../command-failure.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { readRequestedPolicy } from "../session/policy-source.ts";
import { formatSimulation } from "../simulation-view.ts";
import type { Window } from "../simulation-window.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate policy test`. */
export interface TestPolicyOptions {
  readonly against: Window;
  readonly strict?: boolean;
}

/**
 * `sandgate policy test`: what a policy would change about what is on record. Exit code 1 where it newly denies something and, with
 * `--strict`, where it newly allows something.
 */
export async function testPolicy(
  context: CommandContext,
  sandbox: string,
  file: string,
  { against, strict }: TestPolicyOptions,
): Promise<number> {
  const { output } = context;
  const policy = await readRequestedPolicy({ allow: [], file });
  if (policy === undefined) throw usageFailure("there is no policy to test", "name a file");
  const connection = new SuiteConnection(context.clientFile());
  const { maxDecisions, maxAgeMs } = against;
  const response = await connection.client("policy", PolicyService).simulatePolicy(
    {
      sandbox,
      policy,
      maxDecisions,
      ...(maxAgeMs === undefined ? {} : { maxAge: { seconds: BigInt(Math.ceil(maxAgeMs / 1000)) } }),
    },
    { signal: context.interruptions.signal },
  );
  connection.close();
  const { simulation } = response;
  if (simulation === undefined) throw new Error("the service answered without a simulation");
  output.document(messageJson(SimulatePolicyResponseSchema, response));
  output.line(formatSimulation(simulation, output.colors));
  const differs = simulation.newlyDeniedCount > 0n || (strict === true && simulation.newlyAllowedCount > 0n);
  return differs ? exitCodes.failed : exitCodes.ok;
}
