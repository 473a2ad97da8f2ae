import type { Authority } from "@sandgate/policy";
import { ServiceError } from "@sandgate/rpc";
import { Refusal } from "../decision/refusal.ts";
import type { ProxyRequest } from "../http/request.ts";
import { type CredentialUse, credentialValue, findCredential, isCovered } from "./find-credential.ts";
import type { ProviderTable } from "./provider-table.ts";
import type { SecretCache } from "./secret-cache.ts";

/** A field with the secret in it, for one request to one origin. */
export interface InjectedField {
  readonly key: string;
  /** Hidden from whoever prints it by accident: call it where the field is written. */
  reveal(): string;
  /** The texts that must not come back from the origin: the secret, as it is and as it is sent. */
  secrets(): readonly string[];
}

/** Puts secrets in the place of placeholders. */
export class CredentialInjector {
  readonly #providers: ProviderTable;
  readonly #secrets: SecretCache;

  constructor(options: { readonly providers: ProviderTable; readonly secrets: SecretCache }) {
    this.#providers = options.providers;
    this.#secrets = options.secrets;
  }

  /** Which credential a request uses, if any. Throws a Refusal where it may not. */
  find(sandboxId: string, request: ProxyRequest): CredentialUse | undefined {
    const { path } = request;
    return path === undefined ? undefined : findCredential(this.#providers.find(sandboxId), { ...request, path });
  }

  /** Whether the origin is one that the proxy speaks TLS to, in the place of a workload that speaks plain HTTP. */
  speaksTls(sandboxId: string, { host, port }: Authority): boolean {
    return this.#providers
      .find(sandboxId)
      .some(({ endpoints }) =>
        endpoints.some((endpoint) => !endpoint.cleartext && endpoint.host === host.text && endpoint.port === port),
      );
  }

  /** Whether a credential, as it was found, may still be used: asked again whenever what is granted has changed. */
  isStillGranted(sandboxId: string, use: CredentialUse, request: ProxyRequest): boolean {
    const { path } = request;
    const provider = this.#providers.find(sandboxId).find(({ providerId }) => providerId === use.provider.providerId);
    return path !== undefined && provider !== undefined && isCovered(provider, { ...request, path });
  }

  /** The field to send. Throws a Refusal: 403 where the secret is not granted any more, 503 where it cannot be had at the moment. */
  async fill(sandboxId: string, use: CredentialUse): Promise<InjectedField> {
    const { provider, placeholder, key } = use;
    try {
      const secret = await this.#secrets.get(sandboxId, provider, placeholder);
      const known = this.#providers.find(sandboxId).find(({ providerId }) => providerId === provider.providerId);
      if (known?.version !== provider.version) throw new ServiceError("PROVIDER_CHANGED", "changed meanwhile");
      const value = () => credentialValue(provider, secret.reveal());
      return {
        key,
        reveal: value,
        secrets: () => [...new Set([secret.reveal(), value().replace(/^(?:Basic|Bearer) /, "")])],
      };
    } catch (fault) {
      if (!(fault instanceof ServiceError)) throw fault;
      if (fault.reason === "PROVIDER_NOT_FOUND")
        throw Refusal.denied("credential_not_granted", "the provider is gone, or not granted any more");
      throw Refusal.fault(503, "credential_unavailable", "the provider's secret cannot be had at the moment");
    }
  }
}
