import type { PolicyService } from "@sandgate/api/policy";
import { Secret } from "@sandgate/config";
import type { Client } from "@sandgate/rpc";
import type { BoundProvider } from "./provider-table.ts";

const refusalMs = 1_000;

interface Entry {
  readonly version: bigint;
  readonly secret: Promise<Secret>;
  readonly timer: NodeJS.Timeout;
}

/**
 * Secrets that were released for what sandboxes send now, in memory alone: each until `holdMs` after its release, or until it is
 * forgotten, which comes first. One that is forgotten while it is on its way is not kept.
 */
export class SecretCache {
  readonly #client: Pick<Client<typeof PolicyService>, "releaseProviderSecret">;
  readonly #holdMs: number;
  readonly #timeoutMs: number;
  readonly #sandboxes = new Map<string, Map<string, Entry>>();

  constructor(options: {
    readonly client: Pick<Client<typeof PolicyService>, "releaseProviderSecret">;
    readonly holdMs?: number;
    readonly timeoutMs?: number;
  }) {
    this.#client = options.client;
    this.#holdMs = options.holdMs ?? 60_000;
    this.#timeoutMs = options.timeoutMs ?? 5_000;
  }

  /** The secret behind a placeholder that the sandbox has sent. Throws what the Policy service answers. */
  async get(sandboxId: string, { providerId, version }: BoundProvider, placeholder: string): Promise<Secret> {
    const held = this.#sandboxes.get(sandboxId)?.get(providerId);
    if (held?.version === version) return held.secret;
    this.#drop(sandboxId, providerId);
    const secret = this.#client
      .releaseProviderSecret({ sandboxId, placeholder, providerId, version }, { timeoutMs: this.#timeoutMs })
      .then((response) => new Secret(response.secret));
    const timer = setTimeout(() => this.#drop(sandboxId, providerId), this.#holdMs).unref();
    const entries = this.#sandboxes.get(sandboxId) ?? new Map<string, Entry>();
    const entry = { version, secret, timer };
    this.#sandboxes.set(sandboxId, entries.set(providerId, entry));
    secret.catch(() => {
      // a refusal is kept for a moment, too: a sandbox cannot have the Policy service asked for each of its requests
      setTimeout(() => {
        if (entries.get(providerId) === entry) this.#drop(sandboxId, providerId);
      }, refusalMs).unref();
    });
    return secret;
  }

  /** Forgets what the sandbox's providers, as they are now, do not stand for any more. */
  retain(sandboxId: string, providers: readonly BoundProvider[]): void {
    for (const [providerId, { version }] of [...(this.#sandboxes.get(sandboxId) ?? [])])
      if (!providers.some((provider) => provider.providerId === providerId && provider.version === version))
        this.#drop(sandboxId, providerId);
  }

  /** Forgets everything of a sandbox. */
  forget(sandboxId: string): void {
    this.retain(sandboxId, []);
  }

  forgetAll(): void {
    for (const sandboxId of [...this.#sandboxes.keys()]) this.forget(sandboxId);
  }

  #drop(sandboxId: string, providerId: string): void {
    const entries = this.#sandboxes.get(sandboxId);
    clearTimeout(entries?.get(providerId)?.timer);
    entries?.delete(providerId);
    if (entries?.size === 0) this.#sandboxes.delete(sandboxId);
  }
}
