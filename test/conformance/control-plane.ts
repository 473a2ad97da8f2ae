import { createHash, generateKeyPairSync, type KeyObject } from "node:crypto";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type RevocationKind, type WatchTrustResponse, WatchTrustResponseSchema } from "@sandgate/api/auth";
import {
  type Decision,
  DecisionSchema,
  type Enforcement,
  EnforcementSchema,
  type ProviderKind,
  type SandboxProvidersSchema,
  type WatchPoliciesResponse,
  WatchPoliciesResponseSchema,
} from "@sandgate/api/policy";
import type { EgressProxyDeps } from "@sandgate/egress-proxy";
import { createTokenSigner, type EgressClaims, formatJwks, mintToken } from "@sandgate/identity";
import { ServiceError } from "@sandgate/rpc";

export const trustDomain = "sandgate.local";
const organizationId = "5f0e1fd0-6d0b-4b0f-9e53-0d5d8a6f3c11";

/** The Auth and Policy services as the proxy sees them, told by the test what to say. */
export class ControlPlane {
  readonly decisions: Decision[] = [];
  readonly enforcements: Enforcement[] = [];
  readonly reports: { readonly first: bigint; readonly dropped: bigint }[] = [];
  /** While false, both services are down. */
  up = true;
  /** While false, Auth is silent. */
  heartbeats = true;
  /** While false, Policy hangs: it takes calls and says nothing. */
  policyAnswers = true;
  /** The placeholders whose secrets were asked for. */
  readonly releases: string[] = [];
  /** No secret is released before it. */
  holdReleases: Promise<void> = Promise.resolve();
  /** How often its stream was opened. */
  policyStreams = 0;
  readonly #key = generateKeyPairSync("ec", { namedCurve: "P-256" });
  readonly #trust = new Feed<WatchTrustResponse>();
  readonly #policies = new Feed<WatchPoliciesResponse>();
  readonly #stored = new Map<string, { revision: bigint; policy: PolicyInit }>();
  readonly #providers = new Map<string, readonly TestProvider[]>();
  readonly #waiting = new Set<() => void>();
  #sequence = 1n;
  #version = 0n;

  /** Mints an egress token. */
  mint(sandboxId: string, changes: Partial<EgressClaims> = {}, key: KeyObject = this.#key.privateKey): Promise<string> {
    const now = Math.floor(Date.now() / 1000) * 1000;
    return mintToken({
      signer: createTokenSigner(key),
      trustDomain,
      claims: {
        kind: "egress",
        sandboxId,
        organizationId,
        incarnation: 1n,
        enforceContainerBinding: true,
        useEgressGateway: true,
        enforceCentralizedEgress: true,
        isHipaaRegulated: false,
        isPciCompliant: false,
        audience: "egress-proxy",
        allowedHosts: undefined,
        confirmation: undefined,
        tokenId: `${sandboxId}-token-0001`,
        issuedAtMs: now,
        expiresAtMs: now + 900_000,
        ...changes,
      },
    });
  }

  /** Signs any header and claims with Auth's key. */
  get privateKey(): KeyObject {
    return this.#key.privateKey;
  }

  get kid(): string {
    return createTokenSigner(this.#key.privateKey).kid;
  }

  readonly auth: EgressProxyDeps["auth"] = {
    watchTrust: (_request, options) => this.#watchTrust(options?.signal),
  };

  readonly policy: EgressProxyDeps["policy"] = {
    watchPolicies: (request, options) => this.#watchPolicies(request.afterVersion ?? 0n, options?.signal),
    reportPolicyStatus: async (request) => {
      this.#requireUp();
      for (const report of request.enforcements ?? []) this.enforcements.push(create(EnforcementSchema, report));
      this.#wake();
      return { $typeName: "sandgate.policy.v1.ReportPolicyStatusResponse" };
    },
    releaseProviderSecret: async (request) => {
      this.#requireUp();
      const { sandboxId = "", placeholder = "", providerId = "", version = 0n } = request;
      this.releases.push(placeholder);
      await this.holdReleases;
      const found = this.#providers.get(sandboxId)?.find((own) => own.placeholder === placeholder);
      if (found === undefined) throw new ServiceError("PROVIDER_NOT_FOUND", "no such provider");
      if (found.providerId !== providerId || found.version !== version)
        throw new ServiceError("PROVIDER_CHANGED", "the provider has another version");
      return { $typeName: "sandgate.policy.v1.ReleaseProviderSecretResponse", secret: found.secret };
    },
    reportDecisions: async (request) => {
      this.#requireUp();
      const { firstSequence: first = 0n, dropped = 0n, decisions = [] } = request;
      this.reports.push({ first, dropped });
      for (const decision of decisions) this.#store(create(DecisionSchema, decision));
      this.#wake();
      return {
        $typeName: "sandgate.policy.v1.ReportDecisionsResponse",
        storedSequence: first + BigInt(decisions.length) - 1n,
      };
    },
  };

  /** Stores a policy and pushes it. */
  setPolicy(sandboxId: string, policy: PolicyInit): bigint {
    const revision = (this.#stored.get(sandboxId)?.revision ?? 0n) + 1n;
    this.#stored.set(sandboxId, { revision, policy });
    this.#push({ upserted: [{ sandboxId, revision, policy }] });
    return revision;
  }

  /** Makes these the providers of a sandbox, and pushes them beside its policy. Resolves when the proxy has taken them. */
  async setProviders(sandboxId: string, ...providers: readonly TestProvider[]): Promise<void> {
    this.#providers.set(sandboxId, providers);
    const entry = this.#stored.get(sandboxId);
    if (entry === undefined) throw new Error("the sandbox has no policy");
    entry.revision += 1n;
    this.#push({ upserted: [{ sandboxId, ...entry }], providers: [this.#providersOf(sandboxId)] });
    await this.enforced(sandboxId, entry.revision);
  }

  #providersOf(sandboxId: string): MessageInitShape<typeof SandboxProvidersSchema> {
    const providers = this.#providers.get(sandboxId) ?? [];
    return {
      sandboxId,
      providers: providers.map(({ providerId, placeholder, version, secret: _, ...provider }) => ({
        providerId,
        provider: { ...provider, version },
        placeholderDigest: createHash("sha256").update(placeholder).digest(),
      })),
    };
  }

  /** Publishes these signing keys in place of those before. */
  publishKeys(...keys: readonly KeyObject[]): void {
    this.#sequence++;
    const change = { case: "signingKeys" as const, value: { jwksJson: formatJwks(keys) } };
    this.#trust.push(create(WatchTrustResponseSchema, { sequence: this.#sequence, change }));
  }

  get publicKey(): KeyObject {
    return this.#key.publicKey;
  }

  removePolicy(sandboxId: string): void {
    this.#stored.delete(sandboxId);
    this.#push({ removedSandboxIds: [sandboxId] });
  }

  revoke(kind: RevocationKind, subject: string): void {
    this.#sequence++;
    const expireTime = timestampFromMs(Date.now() + 3_600_000);
    this.#trust.push(
      create(WatchTrustResponseSchema, {
        sequence: this.#sequence,
        change: { case: "revocation", value: { kind, subject, expireTime } },
      }),
    );
  }

  /** Ends the streams that are open, as a restart does. */
  breakStreams(): void {
    this.#trust.fail(new ServiceError("UNAVAILABLE", "the connection was lost"));
    this.#policies.fail(new ServiceError("UNAVAILABLE", "the connection was lost"));
  }

  /** The first decision that fits, now or as soon as it is reported. */
  async decision(fits: (decision: Decision) => boolean): Promise<Decision> {
    return this.#until(() => this.decisions.findLast(fits));
  }

  async enforced(sandboxId: string, revision: bigint): Promise<Enforcement> {
    return this.#until(() => this.enforcements.find((one) => one.sandboxId === sandboxId && one.revision === revision));
  }

  async enforcement(fits: (enforcement: Enforcement) => boolean): Promise<Enforcement> {
    return this.#until(() => this.enforcements.find(fits));
  }

  async #until<T>(find: () => T | undefined): Promise<T> {
    for (let found = find(); ; found = find()) {
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }

  #store(decision: Decision): void {
    const known = this.decisions.findIndex(({ decisionId }) => decisionId === decision.decisionId);
    if (known < 0) this.decisions.push(decision);
    else this.decisions[known] = decision;
  }

  #push(change: MessageInitShape<typeof WatchPoliciesResponseSchema>): void {
    this.#version++;
    this.#policies.push(create(WatchPoliciesResponseSchema, { ...change, version: this.#version }));
  }

  #requireUp(): void {
    if (!this.up) throw new ServiceError("UNAVAILABLE", "the service is down");
  }

  async *#watchTrust(signal: AbortSignal | undefined): AsyncGenerator<WatchTrustResponse> {
    this.#requireUp();
    const jwksJson = formatJwks([this.#key.publicKey]);
    yield create(WatchTrustResponseSchema, {
      sequence: this.#sequence,
      change: { case: "snapshot", value: { signingKeys: { jwksJson }, revocations: [] } },
    });
    const timer = setInterval(() => {
      if (!this.heartbeats) return;
      this.#trust.push(
        create(WatchTrustResponseSchema, { sequence: this.#sequence, change: { case: "heartbeat", value: {} } }),
      );
    }, 1000);
    try {
      yield* this.#trust.read(signal);
    } finally {
      clearInterval(timer);
    }
  }

  async *#watchPolicies(after: bigint, signal: AbortSignal | undefined): AsyncGenerator<WatchPoliciesResponse> {
    this.#requireUp();
    this.policyStreams++;
    const heartbeat = () => create(WatchPoliciesResponseSchema, { version: this.#version });
    if (after === 0n)
      yield create(WatchPoliciesResponseSchema, {
        version: this.#version,
        snapshot: true,
        upserted: [...this.#stored].map(([sandboxId, entry]) => ({ sandboxId, ...entry })),
        providers: [...this.#stored.keys()].map((sandboxId) => this.#providersOf(sandboxId)),
      });
    else if (this.policyAnswers) yield heartbeat();
    const timer = setInterval(() => {
      if (this.policyAnswers) this.#policies.push(heartbeat());
    }, 1000);
    try {
      yield* this.#policies.read(signal);
    } finally {
      clearInterval(timer);
    }
  }
}

type PolicyInit = NonNullable<MessageInitShape<typeof import("@sandgate/api/policy").PolicyRevisionSchema>["policy"]>;

/** A provider with its secret, and the placeholder that one sandbox has for it. */
export interface TestProvider {
  readonly providerId: string;
  readonly name: string;
  readonly version: bigint;
  readonly kind: ProviderKind;
  readonly header?: string;
  readonly username?: string;
  readonly endpoints: { host: string; port: number; path: string; cleartext: boolean }[];
  readonly placeholder: string;
  readonly secret: string;
}

/** A queue that is read as a stream; what is pushed while nobody reads waits. */
class Feed<T> {
  #queue: T[] = [];
  #failure: Error | undefined;
  #wake: () => void = () => undefined;

  push(value: T): void {
    this.#queue.push(value);
    this.#wake();
  }

  fail(error: Error): void {
    this.#failure = error;
    this.#wake();
  }

  async *read(signal: AbortSignal | undefined): AsyncGenerator<T> {
    for (;;) {
      const failure = this.#failure;
      this.#failure = undefined;
      if (failure !== undefined) throw failure;
      if (signal?.aborted === true) throw new ServiceError("CANCELLED", "the call was cancelled");
      yield* this.#queue.splice(0);
      if (this.#queue.length > 0 || this.#failure !== undefined) continue;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        signal?.addEventListener("abort", () => resolve(), { once: true });
      });
    }
  }
}
