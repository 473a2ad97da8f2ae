import type { BoundProvider as BoundProviderMessage } from "@sandgate/api/policy";
import type { EndpointMessage } from "@sandgate/policy";

/** A provider that a sandbox may use: where its secret may be sent and as what, not the secret. */
export interface BoundProvider {
  readonly providerId: string;
  readonly name: string;
  readonly version: bigint;
  readonly kind: number;
  readonly header: string;
  readonly username: string;
  readonly endpoints: readonly EndpointMessage[];
  /** SHA-256 of the placeholder, in hex. */
  readonly placeholderDigest: string;
}

/** The providers of each sandbox, as the Policy service pushes them beside its policy. */
export class ProviderTable {
  readonly #providers = new Map<string, readonly BoundProvider[]>();

  find(sandboxId: string): readonly BoundProvider[] {
    return this.#providers.get(sandboxId) ?? [];
  }

  replace(sandboxId: string, messages: readonly BoundProviderMessage[]): void {
    const providers = messages.flatMap(({ providerId, provider, placeholderDigest }): BoundProvider[] => {
      if (provider === undefined) return [];
      const { name, version, kind, header, username, endpoints } = provider;
      const digest = Buffer.from(placeholderDigest).toString("hex");
      return [{ providerId, name, version, kind, header, username, endpoints, placeholderDigest: digest }];
    });
    if (providers.length === 0) this.#providers.delete(sandboxId);
    else this.#providers.set(sandboxId, providers);
  }

  remove(sandboxId: string): void {
    this.#providers.delete(sandboxId);
  }
}
