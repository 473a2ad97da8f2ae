import { PolicyService, type Provider, ProviderSchema } from "@sandgate/api/policy";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { formatProviders, printProvider } from "../provider-view.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** `sandgate provider ls`: the organization's providers, without their secrets. */
export async function listProviders(context: CommandContext): Promise<number> {
  const { output } = context;
  const connection = new SuiteConnection(context.clientFile());
  const client = connection.client("policy", PolicyService);
  const providers: Provider[] = [];
  let pageToken = "";
  do {
    const page = await client.listProviders({ pageSize: 1_000, pageToken }, { signal: context.interruptions.signal });
    providers.push(...page.providers);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  connection.close();
  output.document({ providers: providers.map((provider) => messageJson(ProviderSchema, provider)) });
  if (providers.length === 0) output.note("no providers");
  else output.line(formatProviders(providers));
  return exitCodes.ok;
}

/** `sandgate provider get`: one provider, without its secret. */
export async function getProvider(context: CommandContext, name: string): Promise<number> {
  const connection = new SuiteConnection(context.clientFile());
  const response = await connection
    .client("policy", PolicyService)
    .getProvider({ name }, { signal: context.interruptions.signal });
  connection.close();
  printProvider(context.output, response.provider);
  return exitCodes.ok;
}
