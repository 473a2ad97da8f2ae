import type { ReadonlyPolicy } from "./policy-message.ts";

/** The names of all providers that a policy lets its workload use: those it lists, and the credentials of its model routes. */
export function providersOf(policy: Pick<ReadonlyPolicy, "providers" | "inference">): readonly string[] {
  const credentials = policy.inference?.routes.map(({ credential }) => credential) ?? [];
  return [...new Set([...(policy.providers ?? []), ...credentials.filter((name) => name !== "")])].sort();
}
