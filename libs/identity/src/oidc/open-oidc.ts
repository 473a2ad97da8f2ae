import type { AuthService, UserSubject } from "@sandgate/api/auth";
import { type Client, ServiceError } from "@sandgate/rpc";
import { OidcProviders } from "./oidc-providers.ts";
import type { OidcProviderSettings } from "./oidc-settings.ts";

/** The OpenID providers of a program that is not Auth, and its way to have their users registered. */
export interface OpenOidc {
  readonly providers: OidcProviders;
  readonly registerUser: (token: string) => Promise<UserSubject>;
  stop(): Promise<void>;
}

/** Begins to read the providers' keys. Throws when the file of a provider's authorities cannot be read. */
export function openOidc(options: {
  readonly settings: readonly OidcProviderSettings[];
  readonly client: Pick<Client<typeof AuthService>, "registerOidcUser">;
  readonly clock: () => number;
  readonly onFault: (fault: unknown, provider: string) => void;
}): OpenOidc {
  const { settings, client, clock, onFault } = options;
  const providers = new OidcProviders({ settings, clock, onFault });
  providers.start();
  return {
    providers,
    registerUser: async (token) => {
      const { subject } = await client.registerOidcUser({ token });
      if (subject === undefined) throw new ServiceError("INTERNAL", "Auth answered without the user");
      return subject;
    },
    stop: () => providers.stop(),
  };
}
