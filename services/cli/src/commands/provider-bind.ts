import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { type PolicyRevision, PolicyRevisionSchema, PolicySchema, PolicyService } from "@sandgate/api/policy";
import { type Client, ServiceError } from "@sandgate/rpc";
import type { CommandContext } from "../command-context.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** `sandgate provider bind`: names the provider in the sandbox's policy. Refuses one that does not exist. */
export async function bindProvider(context: CommandContext, name: string, sandbox: string): Promise<number> {
  return changeProviders(context, sandbox, async (client, providers, signal) => {
    await client.getProvider({ name }, { signal });
    return [...new Set([...providers, name])];
  });
}

/** `sandgate provider unbind`: names it there no more; what uses it is cut. */
export async function unbindProvider(context: CommandContext, name: string, sandbox: string): Promise<number> {
  return changeProviders(context, sandbox, async (_client, providers) => providers.filter((other) => other !== name));
}

/** Stores the sandbox's newest policy with other providers; a policy that was changed meanwhile is not overwritten. */
async function changeProviders(
  context: CommandContext,
  sandbox: string,
  change: (
    client: Client<typeof PolicyService>,
    providers: readonly string[],
    signal: AbortSignal,
  ) => Promise<readonly string[]>,
): Promise<number> {
  const { output } = context;
  const { signal } = context.interruptions;
  const connection = new SuiteConnection(context.clientFile());
  const client = connection.client("policy", PolicyService);
  const newest = await findPolicy(client, sandbox, signal);
  const providers = [...(await change(client, newest?.policy?.providers ?? [], signal))];
  const policy = newest?.policy ?? create(PolicySchema);
  policy.providers = providers;
  const { revision } = await client.setPolicy(
    {
      sandbox,
      policy,
      expectedRevision: newest?.revision ?? 0n,
      requestId: randomUUID(),
    },
    { signal },
  );
  connection.close();
  if (revision === undefined) throw new Error("the service answered without a revision");
  output.document({ revision: messageJson(PolicyRevisionSchema, revision) });
  const named = providers.length === 0 ? "no provider" : providers.join(", ");
  output.line(`revision ${revision.revision} of ${escapeLine(sandbox)} names ${escapeLine(named)}`);
  return exitCodes.ok;
}

async function findPolicy(
  client: Client<typeof PolicyService>,
  sandbox: string,
  signal: AbortSignal,
): Promise<PolicyRevision | undefined> {
  try {
    return (await client.getPolicy({ sandbox }, { signal })).revision;
  } catch (error) {
    if (error instanceof ServiceError && error.reason === "POLICY_NOT_FOUND") return undefined;
    throw error;
  }
}
