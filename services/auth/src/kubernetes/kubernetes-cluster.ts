import type { ForeignKeySet } from "@sandgate/identity";
import type { PodRecord } from "../domain/sandbox-pod.ts";

/** What the cluster says of a token that it was asked about. */
export interface TokenVerdict {
  readonly isAuthenticated: boolean;
  readonly username: string;
  readonly audiences: readonly string[];
  readonly podName: string | undefined;
  readonly podUid: string | undefined;
}

/**
 * What Auth asks a cluster. Every method ends when its signal aborts, and rejects with an Error for every answer but a good one: then
 * nothing is known.
 */
export interface KubernetesCluster {
  /** The keys that service account tokens are signed with, once discovery has named the configured issuer. */
  readKeys(signal: AbortSignal): Promise<ForeignKeySet>;
  /** Asks for a token review (`authentication.k8s.io/v1`) for our audience. */
  reviewToken(token: string, signal: AbortSignal): Promise<TokenVerdict>;
  /** A pod of the configured namespace; undefined when there is none of the name. */
  findPod(name: string, signal: AbortSignal): Promise<PodRecord | undefined>;
  close(): Promise<void>;
}
