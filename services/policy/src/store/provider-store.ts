import type { Provider } from "@sandgate/api/policy";
import type { Secret } from "@sandgate/config";
import type { SandboxScope } from "@sandgate/identity";
import type { ProviderMessage } from "@sandgate/policy";
import type { Page, PolicyAuthor } from "./policy-store.ts";

/** A change of a provider, and who makes it. */
export interface ProviderChange {
  readonly organizationId: string;
  readonly name: string;
  /** Undefined: the request is not to be recognized if it is repeated. */
  readonly requestId: string | undefined;
  readonly author: PolicyAuthor;
}

/** A provider that a sandbox's policy names and that exists. */
export interface GrantedProvider {
  readonly sandboxId: string;
  readonly providerId: string;
  readonly provider: Provider;
  readonly placeholder: string;
}

/** Which secret a proxy asks for, on its own behalf. */
export interface SecretRequest {
  readonly sandboxId: string;
  readonly placeholder: string;
  readonly providerId: string;
  readonly version: bigint;
  readonly author: PolicyAuthor;
}

/**
 * Keeps providers and their sealed secrets. Every change is announced to the watchers of the policies that name the provider once it is
 * committed. Without a sealing key, what needs one throws PROVIDERS_NOT_CONFIGURED.
 */
export interface ProviderStore {
  /** Throws PROVIDER_EXISTS, LIMIT_REACHED at 1000 of an organization, and REQUEST_ID_REUSED. */
  create(change: ProviderChange, settings: ProviderMessage, secret: Secret): Promise<Provider>;
  /** Makes the next version; undefined settings stay. Throws PROVIDER_NOT_FOUND and REQUEST_ID_REUSED. */
  update(change: ProviderChange, settings: ProviderMessage | undefined, secret: Secret): Promise<Provider>;
  /** Throws PROVIDER_NOT_FOUND and REQUEST_ID_REUSED. */
  delete(change: ProviderChange): Promise<void>;
  find(organizationId: string, name: string): Promise<Provider | undefined>;
  /** By name, from the one after `after`. */
  list(organizationId: string, pageSize: number, after: string): Promise<Page<Provider>>;
  /** What the newest policies of living sandboxes grant of what exists, by sandbox and name. */
  listGranted(sandboxIds: readonly string[]): Promise<readonly GrantedProvider[]>;
  /** The placeholders of all providers that a sandbox's newest policy names, whether they exist or not, by name. */
  listPlaceholders(scope: SandboxScope): Promise<ReadonlyMap<string, string>>;
  /**
   * The secret behind a placeholder, once its release is in the audit log. Throws PROVIDER_NOT_FOUND where the sandbox has no such
   * placeholder or the provider is gone, and PROVIDER_CHANGED for another version.
   */
  release(request: SecretRequest): Promise<Secret>;
  /** Seals with the newest key what another key has sealed. Answers how much it was, and what no key opens. */
  reseal(): Promise<{ readonly resealed: number; readonly unreadable: readonly string[] }>;
}
