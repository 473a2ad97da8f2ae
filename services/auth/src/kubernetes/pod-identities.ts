import { type ForeignJwt, type ForeignKey, findSignatureFault, parseForeignJwt, RemoteKeys } from "@sandgate/identity";
import { ServiceError } from "@sandgate/rpc";
import { accountSubject, type PodClaims, type PodTokenRules, readPodClaims } from "../domain/pod-token.ts";
import { findPodSandbox, type PodSandbox, type SandboxPodRules } from "../domain/sandbox-pod.ts";
import type { KubernetesCluster } from "./kubernetes-cluster.ts";
import type { KubernetesSettings } from "./kubernetes-section.ts";

/** All that one token may have the API server do takes no longer. A supervisor gives up after twice as much. */
const askMs = 5_000;
/** So many tokens are looked into at the same time: an API server that hangs must not gather callers without end. */
const maxAtOnce = 64;

/** Finds out which sandbox's pod a projected service account token belongs to (G-05). What the API server does not say is not so. */
export class PodIdentities {
  readonly #settings: KubernetesSettings;
  readonly #rules: PodTokenRules & SandboxPodRules;
  readonly #cluster: KubernetesCluster;
  readonly #keys: RemoteKeys<ForeignKey>;
  readonly #clock: () => number;
  readonly #onFault: (fault: unknown) => void;
  #isFailing = false;
  #looking = 0;

  constructor(deps: {
    readonly settings: KubernetesSettings;
    readonly cluster: KubernetesCluster;
    readonly clock: () => number;
    /** Told once, each time that the API server begins to fail. */
    readonly onFault: (fault: unknown) => void;
  }) {
    const { settings, cluster, clock, onFault } = deps;
    const { issuer, audience, namespace, owner } = settings;
    this.#settings = settings;
    this.#rules = {
      issuer,
      audience,
      namespace,
      maxLifeMs: settings.sa_token_ttl_secs * 1000,
      owner: { apiVersion: owner.api_version, kind: owner.kind, uid: owner.uid },
    };
    this.#cluster = cluster;
    this.#clock = clock;
    this.#onFault = onFault;
    this.#keys = new RemoteKeys({
      read: (signal) => cluster.readKeys(signal),
      clock,
      onFault,
      onChange: () => {}, // no token is remembered as good
    });
  }

  /** Begins to read the cluster's keys, where tokens are verified by them. A cluster that is away delays nobody. */
  start(): void {
    if (this.#settings.verification === "jwks") this.#keys.start();
  }

  async stop(): Promise<void> {
    await this.#keys.stop();
    await this.#cluster.close();
  }

  /** Readiness: whether tokens can be verified, as far as that is known without one. */
  get checks(): Readonly<Record<string, () => void>> {
    if (this.#settings.verification !== "jwks") return {};
    return {
      kubernetes: () => {
        if (!this.#keys.isUsable()) throw new Error("the keys of the cluster cannot be read");
      },
    };
  }

  /** A token that says it is one of the cluster; undefined for any other. Nothing of it is verified. */
  parse(token: string): ForeignJwt | undefined {
    const jwt = parseForeignJwt(token);
    return jwt?.payload.iss === this.#settings.issuer ? jwt : undefined;
  }

  /**
   * The sandbox whose living pod the token was issued to. Throws CREDENTIAL_EXPIRED or CREDENTIAL_REJECTED for a token that is no good,
   * LIMIT_REACHED when too many are being looked into, and IDENTITY_PROVIDER_UNAVAILABLE when the API server does not help.
   */
  async find(jwt: ForeignJwt, signal: AbortSignal): Promise<PodSandbox> {
    if (this.#looking >= maxAtOnce)
      throw new ServiceError("LIMIT_REACHED", "too many service account tokens are being looked into");
    this.#looking += 1;
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(askMs)]);
    try {
      const claims = await this.#verify(jwt, bounded);
      const pod = await this.#ask(() => this.#cluster.findPod(claims.podName, bounded));
      const sandbox = findPodSandbox(pod, claims, this.#rules);
      if (typeof sandbox === "string") throw rejected(sandbox);
      return sandbox;
    } finally {
      this.#looking -= 1;
    }
  }

  /** Everything that costs nothing comes first: most bad tokens never reach the API server. */
  async #verify(jwt: ForeignJwt, signal: AbortSignal): Promise<PodClaims> {
    const claims = readPodClaims(jwt.payload, this.#rules, this.#clock());
    if (claims === "expired") throw new ServiceError("CREDENTIAL_EXPIRED", "the token has expired");
    if (typeof claims === "string") throw rejected(claims);
    if (this.#settings.verification === "jwks") await this.#requireSignature(jwt);
    else await this.#requireReview(jwt.token, claims, signal);
    return claims;
  }

  async #requireSignature(jwt: ForeignJwt): Promise<void> {
    const fault = await findSignatureFault(jwt, { algorithms: this.#settings.algorithms, keys: this.#keys });
    if (fault === "unavailable") throw unavailable();
    if (fault !== undefined) throw rejected(fault);
  }

  async #requireReview(token: string, claims: PodClaims, signal: AbortSignal): Promise<void> {
    const verdict = await this.#ask(() => this.#cluster.reviewToken(token, signal));
    if (!verdict.isAuthenticated) throw rejected("review");
    // an API server that knows no audiences answers without them, and has not looked at ours
    if (!verdict.audiences.includes(this.#settings.audience)) throw rejected("audience");
    if (
      verdict.username !== accountSubject(this.#settings.namespace, claims.serviceAccount) ||
      verdict.podName !== claims.podName ||
      verdict.podUid !== claims.podUid
    )
      throw rejected("review");
  }

  async #ask<T>(question: () => Promise<T>): Promise<T> {
    try {
      const answer = await question();
      this.#isFailing = false;
      return answer;
    } catch (fault) {
      if (!this.#isFailing) this.#onFault(fault);
      this.#isFailing = true;
      throw unavailable(fault);
    }
  }
}

function rejected(fault: string): ServiceError {
  return new ServiceError("CREDENTIAL_REJECTED", "the service account token is not valid here", { fault });
}

function unavailable(cause?: unknown): ServiceError {
  return new ServiceError("IDENTITY_PROVIDER_UNAVAILABLE", "the cluster cannot be asked", {}, { cause });
}
