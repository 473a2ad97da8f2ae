import type { ForeignAlgorithm } from "./foreign-key-set.ts";

/** An OpenID provider whose users are ours, as the configuration section `oidc` has it. */
export interface OidcProviderSettings {
  readonly name: string;
  /** Compared to the letter; discovery is below it. */
  readonly issuer: string;
  /** A token must name one of them. */
  readonly audiences: readonly string[];
  readonly algorithms: readonly ForeignAlgorithm[];
  /** PEM; undefined: the machine's own authorities. */
  readonly ca_file?: string | undefined;
  /** The organization of all its users, or the claim that holds the organization's id. */
  readonly organization:
    | { readonly id: string; readonly name: string; readonly claim?: undefined }
    | { readonly claim: string; readonly id?: undefined; readonly name?: undefined };
  /** Whoever has none of these roles is a viewer. */
  readonly roles: { readonly claim: string; readonly admin: readonly string[]; readonly operator: readonly string[] };
  /** A token must have all of them. */
  readonly required_scopes: readonly string[];
}
