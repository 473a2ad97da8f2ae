import type { ProviderStore } from "./store/provider-store.ts";

/**
 * Seals with the newest key what an older one has sealed, and says so: then the older keys can be taken out of the file. A secret that
 * no key opens is named in the log and stays as it is; nothing is sent for it.
 */
export async function resealProviders(deps: {
  readonly providers: Pick<ProviderStore, "reseal">;
  readonly isConfigured: boolean;
  readonly logger: Record<"info" | "error", (fields: object, message: string) => void>;
}): Promise<void> {
  if (!deps.isConfigured) return;
  const { resealed, unreadable } = await deps.providers.reseal();
  if (resealed > 0) deps.logger.info({ resealed }, "secrets of providers were sealed with the newest key");
  for (const id of unreadable)
    deps.logger.error({ provider_id: id }, "no key of the key file opens the secret of a provider");
}
