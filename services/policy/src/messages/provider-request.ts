import type { Provider } from "@sandgate/api/policy";
import { Secret } from "@sandgate/config";
import { isProviderSecret, lintProvider, type ProviderMessage } from "@sandgate/policy";
import { ServiceError } from "@sandgate/rpc";

/** A provider's settings in canonical form. Throws PROVIDER_INVALID with the first fault, and REQUEST_INVALID where there are none. */
export function readProviderSettings(provider: Provider | undefined): ProviderMessage {
  if (provider === undefined) throw new ServiceError("REQUEST_INVALID", "a provider is missing", { field: "provider" });
  const check = lintProvider(provider);
  if (check.ok) return check.provider;
  const [first] = check.faults;
  throw new ServiceError("PROVIDER_INVALID", "the provider is not valid", {
    field: first?.field ?? "",
    fault: first?.message ?? "",
    faults: String(check.faults.length),
  });
}

/** The secret of a request. Throws PROVIDER_INVALID, which does not quote it, for one that no header can carry. */
export function readProviderSecret(text: string): Secret {
  if (isProviderSecret(text)) return new Secret(text);
  throw new ServiceError("PROVIDER_INVALID", "the secret is not valid", {
    field: "secret",
    fault: "a secret is 8 to 4096 printable ASCII characters, without a space at either end",
  });
}
