import type { PodClaims } from "./pod-token.ts";

/** A pod as the cluster has it now. */
export interface PodRecord {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly serviceAccount: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly owners: readonly PodOwner[];
  /** Whether it is being deleted. */
  readonly isDeleted: boolean;
  readonly phase: string;
}

/** What a pod's owner reference names. */
export interface PodOwner {
  readonly apiVersion: string;
  readonly kind: string;
  readonly uid: string;
}

/** What a sandbox's pod must be. */
export interface SandboxPodRules {
  readonly namespace: string;
  /** The kind of object that all sandboxes' pods belong to; with a uid, the very object. */
  readonly owner: { readonly apiVersion: string; readonly kind: string; readonly uid: string | undefined };
}

/** The sandbox whose supervisor runs in a pod. */
export interface PodSandbox {
  readonly sandboxId: string;
  readonly incarnation: bigint;
  readonly podUid: string;
}

/** Why a pod is not a living one of a sandbox. */
export type SandboxPodFault =
  | "pod_missing"
  | "pod_uid"
  | "pod_namespace"
  | "pod_account"
  | "pod_ended"
  | "pod_owner"
  | "pod_sandbox"
  | "pod_incarnation";

/** The annotations that say whose pod it is. They are written by whoever creates the pod. */
const podAnnotations = {
  sandboxId: "sandgate.dev/sandbox-id",
  incarnation: "sandgate.dev/incarnation",
} as const;

/** The sandbox of the pod that a token was issued to (G-05), or why there is none. A name that another pod has by now is no pod of the token. */
export function findPodSandbox(
  pod: PodRecord | undefined,
  claims: PodClaims,
  rules: SandboxPodRules,
): PodSandbox | SandboxPodFault {
  if (pod === undefined) return "pod_missing";
  if (pod.uid !== claims.podUid || pod.name !== claims.podName) return "pod_uid";
  if (pod.namespace !== rules.namespace) return "pod_namespace";
  if (pod.serviceAccount !== claims.serviceAccount) return "pod_account";
  if (pod.isDeleted || (pod.phase !== "Pending" && pod.phase !== "Running")) return "pod_ended";
  if (!isOurs(pod.owners, rules.owner)) return "pod_owner";
  const sandboxId = pod.annotations[podAnnotations.sandboxId] ?? "";
  if (!/^sbx-[a-z2-7]{20}$/.test(sandboxId)) return "pod_sandbox";
  const incarnation = pod.annotations[podAnnotations.incarnation] ?? "";
  if (!/^[1-9][0-9]{0,15}$/.test(incarnation)) return "pod_incarnation";
  return { sandboxId, incarnation: BigInt(incarnation), podUid: pod.uid };
}

/** One owner and no other: a second one could be anybody's. */
function isOurs(owners: readonly PodOwner[], rule: SandboxPodRules["owner"]): boolean {
  const [owner] = owners;
  if (owner === undefined || owners.length !== 1) return false;
  if (owner.apiVersion !== rule.apiVersion || owner.kind !== rule.kind) return false;
  return rule.uid === undefined || owner.uid === rule.uid;
}
