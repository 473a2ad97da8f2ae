import { ServiceError } from "@sandgate/rpc";
import type { OidcClaims } from "./oidc-claims.ts";
import { OidcProvider, type OidcVerification } from "./oidc-provider.ts";
import type { OidcProviderSettings } from "./oidc-settings.ts";

/** The OpenID providers of one program. */
export class OidcProviders {
  readonly #providers: readonly OidcProvider[];

  /** Throws when the file of a provider's authorities cannot be read. */
  constructor(deps: {
    readonly settings: readonly OidcProviderSettings[];
    readonly clock: () => number;
    /** Told once, each time that a provider begins to fail, and which. */
    readonly onFault: (fault: unknown, provider: string) => void;
  }) {
    this.#providers = deps.settings.map(
      (settings) =>
        new OidcProvider({ settings, clock: deps.clock, onFault: (fault) => deps.onFault(fault, settings.name) }),
    );
  }

  /** Begins to read the providers' keys. A provider that is away delays nobody. */
  start(): void {
    for (const provider of this.#providers) provider.start();
  }

  async stop(): Promise<void> {
    await Promise.all(this.#providers.map((provider) => provider.stop()));
  }

  /** Readiness, a check for each provider: `oidc_` and its name. */
  get checks(): Readonly<Record<string, () => void>> {
    return Object.fromEntries(
      this.#providers.map((provider) => [`oidc_${provider.settings.name}`, () => provider.check()]),
    );
  }

  /**
   * What a token says, if it is one of these providers'; undefined if it is none of theirs. Throws CREDENTIAL_EXPIRED or
   * CREDENTIAL_REJECTED for one that is theirs and no good, and IDENTITY_PROVIDER_UNAVAILABLE when that cannot be found out.
   */
  async verify(token: string): Promise<OidcClaims | undefined> {
    for (const provider of this.#providers) {
      const verification = await provider.verify(token);
      if (verification.outcome === "verified") return verification.claims;
      if (verification.outcome !== "not_ours") throw refusalOf(verification);
    }
    return undefined;
  }
}

function refusalOf(verification: Exclude<OidcVerification, { outcome: "verified" | "not_ours" }>): ServiceError {
  if (verification.outcome === "unavailable")
    return new ServiceError("IDENTITY_PROVIDER_UNAVAILABLE", "the keys of the OpenID provider cannot be read");
  const { fault } = verification;
  return fault === "expired"
    ? new ServiceError("CREDENTIAL_EXPIRED", "the token has expired")
    : new ServiceError("CREDENTIAL_REJECTED", "the token of the OpenID provider is not valid here", { fault });
}
