import { createHash } from "node:crypto";
import { endpointCovers, findPlaceholder, providerKind } from "@sandgate/policy";
import { Refusal } from "../decision/refusal.ts";
import type { HeaderField } from "../http/header-fields.ts";
import type { ProxyRequest } from "../http/request.ts";
import type { BoundProvider } from "./provider-table.ts";

/** A placeholder in a request, and the provider whose secret takes its place. */
export interface CredentialUse {
  readonly provider: BoundProvider;
  readonly placeholder: string;
  /** The one field that it stands in, in lower case. */
  readonly key: string;
}

/**
 * The placeholder of a request, if there is one. Throws a Refusal where it is not one of these providers', or stands anywhere but as the
 * whole credential in the provider's one field, or the request leads where the secret is not to be sent: what a sandbox does with
 * placeholders beside their purpose is refused and on record, not passed on.
 */
export function findCredential(
  providers: readonly BoundProvider[],
  request: Pick<ProxyRequest, "fields" | "destination"> & { readonly path: string },
): CredentialUse | undefined {
  const marked = request.fields.endToEnd().filter((field) => placeholderIn(field) !== undefined);
  const [field] = marked;
  if (field === undefined) return undefined;
  if (marked.length > 1 || request.fields.values(field.key).length > 1)
    throw refused("a request has one placeholder, in a field that it sends once");
  const placeholder = placeholderIn(field) ?? "";
  const digest = createHash("sha256").update(placeholder).digest("hex");
  const provider = providers.find(({ placeholderDigest }) => placeholderDigest === digest);
  if (provider === undefined) throw refused("the placeholder stands for no provider that this sandbox may use");
  if (!isWhole(provider, field, placeholder))
    throw refused("the placeholder is not the whole credential, in the field that its provider has");
  if (!isCovered(provider, request)) throw refused("the provider's secret is not sent to this host, port and path");
  return { provider, placeholder, key: field.key };
}

/** Whether one of the provider's endpoints stands for a request. */
export function isCovered(
  { endpoints }: Pick<BoundProvider, "endpoints">,
  { destination, path }: Pick<ProxyRequest, "destination"> & { readonly path: string },
): boolean {
  return endpoints.some((endpoint) => endpointCovers(endpoint, destination, path));
}

/** The value that takes the placeholder's place. */
export function credentialValue({ kind, username }: BoundProvider, secret: string): string {
  switch (kind) {
    case providerKind.bearer:
      return `Bearer ${secret}`;
    case providerKind.basic:
      return `Basic ${Buffer.from(`${username}:${secret}`, "latin1").toString("base64")}`;
    default:
      return secret;
  }
}

function isWhole({ kind, header }: BoundProvider, { key, value }: HeaderField, placeholder: string): boolean {
  switch (kind) {
    case providerKind.bearer:
      return key === "authorization" && /^bearer +(.*)$/i.exec(value)?.[1] === placeholder;
    case providerKind.basic: {
      const text = key === "authorization" ? decodeBasic(value) : undefined;
      return text !== undefined && text.slice(text.indexOf(":") + 1) === placeholder && text.includes(":");
    }
    case providerKind.header:
      return key === header && value === placeholder;
    default:
      return false;
  }
}

function placeholderIn({ value }: HeaderField): string | undefined {
  return findPlaceholder(value) ?? findPlaceholder(decodeBasic(value) ?? "");
}

function decodeBasic(value: string): string | undefined {
  const encoded = /^basic +([A-Za-z0-9+/_-]+=*)$/i.exec(value)?.[1];
  return encoded === undefined ? undefined : Buffer.from(encoded, "base64").toString("latin1");
}

function refused(message: string): Refusal {
  return Refusal.denied("credential_not_granted", message);
}
