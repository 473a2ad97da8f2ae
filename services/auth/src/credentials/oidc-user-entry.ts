import type { UserSubject } from "@sandgate/api/auth";
import type { OidcProviders } from "@sandgate/identity";
import { formatSpiffeId } from "@sandgate/pki";
import { ServiceError } from "@sandgate/rpc";
import type { OidcUserStore } from "../store/oidc-user-store.ts";
import type { TrustFeed } from "../trust/trust-feed.ts";

/** Enters the user of a token into the register, on behalf of the service (SPIFFE id) that was shown it. */
export type OidcUserEntry = (token: string, peer: string) => Promise<UserSubject>;

/**
 * Enters users of OpenID providers. Whoever asks, the token is verified here. Refuses a token that is of no configured provider, one
 * that a newer token of the same user contradicts, and one whose user id belongs to a user of another source.
 */
export function createOidcUserEntry(deps: {
  readonly oidc: Pick<OidcProviders, "verify">;
  readonly store: OidcUserStore;
  readonly feed: Pick<TrustFeed, "reached">;
  readonly trustDomain: string;
  readonly clock: () => number;
}): OidcUserEntry {
  return async (token, peer) => {
    const claims = await deps.oidc.verify(token);
    if (claims === undefined) throw new ServiceError("CREDENTIAL_REJECTED", "the token is of no configured provider");
    const principal = formatSpiffeId({ trustDomain: deps.trustDomain, kind: "user", name: claims.userId });
    const { decision, user, sequence } = await deps.store.registerOidcUser(claims, deps.clock(), { principal, peer });
    switch (decision) {
      case "stale":
        throw new ServiceError("CREDENTIAL_REVOKED", "a newer token of the user says otherwise");
      case "taken":
        throw new ServiceError("CREDENTIAL_REJECTED", "the user is not of an OpenID provider");
      case "inserted":
      case "changed":
      case "unchanged":
        // whoever kept the user as it was must have forgotten it before it is answered
        await deps.feed.reached(sequence);
        return user;
    }
  };
}
