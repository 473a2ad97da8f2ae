import type { AuthService, SandboxSubject, UserSubject } from "@sandgate/api/auth";
import { type Client, ServiceError } from "@sandgate/rpc";
import type { SubjectRegister } from "./subject-register.ts";
import type { TrustState } from "./trust-state.ts";

const maximumEntries = 100_000;

/**
 * Reads Auth's register by RPC and keeps what it read until the trust stream says that it changed. While the stream is not
 * current nothing kept is used. Absence is never kept: a subject may be registered the next moment.
 */
export class RemoteSubjectRegister implements SubjectRegister {
  readonly #client: Pick<Client<typeof AuthService>, "resolveSandbox" | "resolveUser">;
  readonly #trust: TrustState;
  readonly #sandboxes = new Map<string, SandboxSubject>();
  readonly #sandboxIds = new Map<string, string>();
  readonly #users = new Map<string, UserSubject>();
  readonly #pending = new Map<string, Promise<unknown>>();
  #generation = 0;

  constructor(options: {
    readonly client: Pick<Client<typeof AuthService>, "resolveSandbox" | "resolveUser">;
    readonly trust: TrustState;
  }) {
    this.#client = options.client;
    this.#trust = options.trust;
    options.trust.onChange(({ change }) => {
      // Whatever is being read at this moment may be from before the change: it is answered but not kept.
      this.#generation += 1;
      switch (change.case) {
        case "snapshot":
          this.#sandboxes.clear();
          this.#sandboxIds.clear();
          this.#users.clear();
          break;
        case "sandbox":
          this.#sandboxes.delete(change.value.sandboxId);
          this.#sandboxIds.delete(`${change.value.organizationId}/${change.value.name}`);
          break;
        case "user":
          this.#users.delete(change.value.userId);
          break;
      }
    });
  }

  async findSandbox(sandboxId: string): Promise<SandboxSubject | undefined> {
    const kept = this.#kept(this.#sandboxes, sandboxId);
    if (kept !== undefined) return kept;
    const key = { case: "sandboxId", value: sandboxId } as const;
    return this.#once(`sandbox:${sandboxId}`, () => this.#resolve(key));
  }

  async findSandboxByName(organizationId: string, name: string): Promise<SandboxSubject | undefined> {
    const sandboxId = this.#kept(this.#sandboxIds, `${organizationId}/${name}`);
    const kept = sandboxId === undefined ? undefined : this.#kept(this.#sandboxes, sandboxId);
    if (kept?.alive === true) return kept;
    const key = { case: "name", value: { organizationId, name } } as const;
    return this.#once(`name:${organizationId}/${name}`, () => this.#resolve(key));
  }

  async findUser(userId: string): Promise<UserSubject | undefined> {
    const kept = this.#kept(this.#users, userId);
    if (kept !== undefined) return kept;
    return this.#once(`user:${userId}`, async () => {
      const generation = this.#generation;
      const subject = await this.#orAbsent(async () => (await this.#client.resolveUser({ userId })).subject);
      if (subject !== undefined && generation === this.#generation) this.#keep(this.#users, userId, subject);
      return subject;
    });
  }

  async #resolve(
    key: { case: "sandboxId"; value: string } | { case: "name"; value: { organizationId: string; name: string } },
  ): Promise<SandboxSubject | undefined> {
    const generation = this.#generation;
    const subject = await this.#orAbsent(async () => (await this.#client.resolveSandbox({ key })).subject);
    if (subject !== undefined && generation === this.#generation) {
      this.#keep(this.#sandboxes, subject.sandboxId, subject);
      if (subject.alive) this.#keep(this.#sandboxIds, `${subject.organizationId}/${subject.name}`, subject.sandboxId);
    }
    return subject;
  }

  /** Several callers that ask the same at once share one read. */
  #once<T>(key: string, read: () => Promise<T>): Promise<T> {
    const generationKey = `${this.#generation}/${key}`;
    const running = this.#pending.get(generationKey);
    if (running !== undefined) return running as Promise<T>; // one key is always read by one method
    const started = read().finally(() => this.#pending.delete(generationKey));
    this.#pending.set(generationKey, started);
    return started;
  }

  #kept<T>(cache: Map<string, T>, key: string): T | undefined {
    return this.#trust.isCurrent() ? cache.get(key) : undefined;
  }

  #keep<T>(cache: Map<string, T>, key: string, value: T): void {
    if (cache.size >= maximumEntries) cache.clear();
    cache.set(key, value);
  }

  async #orAbsent<T>(read: () => Promise<T | undefined>): Promise<T | undefined> {
    try {
      return await read();
    } catch (fault) {
      if (fault instanceof ServiceError && fault.reason === "SANDBOX_NOT_FOUND") return undefined;
      if (fault instanceof ServiceError && fault.reason === "CREDENTIAL_REJECTED") return undefined;
      throw new ServiceError("TRUST_UNAVAILABLE", "the register of subjects cannot be read", {}, { cause: fault });
    }
  }
}
