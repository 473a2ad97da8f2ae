import { randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { PolicyService, ProviderKind, type ProviderSchema } from "@sandgate/api/policy";
import type { CommandContext } from "../command-context.ts";
import { usageFailure } from "../command-failure.ts";
import { exitCodes } from "../exit-codes.ts";
import { readProviderSecret } from "../login/provider-secret.ts";
import type { parseProviderEndpoint } from "../provider-endpoint.ts";
import type { ProviderKindName } from "../provider-kinds.ts";
import { printProvider } from "../provider-view.ts";
import { SuiteConnection } from "../suite-connection.ts";

const kindOf = { bearer: ProviderKind.BEARER, header: ProviderKind.HEADER, basic: ProviderKind.BASIC } as const;

/** Options of `sandgate provider create` and `update`. */
export interface ProviderOptions {
  readonly kind: ProviderKindName;
  readonly header?: string;
  readonly username?: string;
  readonly endpoint: readonly ReturnType<typeof parseProviderEndpoint>[];
  readonly env?: string;
  readonly baseUrlEnv?: string;
  readonly file?: string;
}

/** `sandgate provider create`: a secret that sandboxes may use without seeing it. */
export async function createProvider(context: CommandContext, name: string, options: ProviderOptions): Promise<number> {
  const provider = settingsOf(name, options);
  const secret = await readProviderSecret(options.file);
  const connection = new SuiteConnection(context.clientFile());
  const response = await connection
    .client("policy", PolicyService)
    .createProvider({ requestId: randomUUID(), provider, secret }, { signal: context.interruptions.signal });
  connection.close();
  printProvider(context.output, response.provider);
  context.output.note(`let a sandbox use it: sandgate provider bind ${name} SANDBOX`);
  return exitCodes.ok;
}

/** `sandgate provider update`: other settings, with the secret: who does not know it sends it nowhere new. */
export async function updateProvider(context: CommandContext, name: string, options: ProviderOptions): Promise<number> {
  const provider = settingsOf(name, options);
  return sendUpdate(context, { name, provider, secret: await readProviderSecret(options.file) });
}

/** `sandgate provider rotate`: a new secret; sandboxes keep their placeholders. */
export async function rotateProvider(
  context: CommandContext,
  name: string,
  options: Pick<ProviderOptions, "file">,
): Promise<number> {
  return sendUpdate(context, { name, secret: await readProviderSecret(options.file) });
}

async function sendUpdate(
  context: CommandContext,
  request: { name: string; secret: string; provider?: MessageInitShape<typeof ProviderSchema> },
): Promise<number> {
  const connection = new SuiteConnection(context.clientFile());
  const response = await connection
    .client("policy", PolicyService)
    .updateProvider({ requestId: randomUUID(), ...request }, { signal: context.interruptions.signal });
  connection.close();
  printProvider(context.output, response.provider);
  return exitCodes.ok;
}

function settingsOf(name: string, options: ProviderOptions): MessageInitShape<typeof ProviderSchema> {
  if (options.endpoint.length === 0)
    throw usageFailure("there is no endpoint", "say where the secret may be sent: --endpoint api.example.com/v1");
  return {
    name,
    kind: kindOf[options.kind],
    header: options.header?.toLowerCase() ?? "",
    username: options.username ?? "",
    endpoints: [...options.endpoint],
    environment: options.env ?? "",
    baseUrlEnvironment: options.baseUrlEnv ?? "",
  };
}
