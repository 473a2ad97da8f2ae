import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Provider, type ProviderEndpoint, ProviderKind, ProviderSchema } from "@sandgate/api/policy";
import { escapeLine } from "./escape-control.ts";
import { messageJson } from "./message-json.ts";
import type { Output } from "./output.ts";
import { formatTable } from "./table.ts";

/** Prints a provider as it is after a change, or as it was asked for. */
export function printProvider(output: Output, provider: Provider | undefined): void {
  if (provider === undefined) throw new Error("the service answered without a provider");
  output.document(messageJson(ProviderSchema, provider));
  output.line(formatProviders([provider]));
}

/** Providers as a table. */
export function formatProviders(providers: readonly Provider[]): string {
  return formatTable(
    ["name", "kind", "version", "endpoints", "variables", "changed"],
    providers.map((provider) =>
      [
        provider.name,
        describeKind(provider),
        String(provider.version),
        provider.endpoints.map(describeEndpoint).join(" "),
        [provider.environment, provider.baseUrlEnvironment].filter((name) => name !== "").join(" "),
        provider.updateTime === undefined ? "" : new Date(timestampMs(provider.updateTime)).toISOString(),
      ].map(escapeLine),
    ),
  );
}

function describeKind({ kind, header, username }: Provider): string {
  const name = (ProviderKind[kind] ?? String(kind)).toLowerCase();
  const detail = header === "" ? username : header;
  return detail === "" ? name : `${name} ${detail}`;
}

function describeEndpoint({ host, port, path, cleartext }: ProviderEndpoint): string {
  const usual = cleartext ? 80 : 443;
  return `${cleartext ? "http" : "https"}://${host}${port === usual ? "" : `:${port}`}${path === "/" ? "" : path}`;
}
