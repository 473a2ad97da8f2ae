import type { PolicyRevision } from "@sandgate/api/policy";
import { type CompiledPolicy, compilePolicy, PolicyNotCompiled } from "@sandgate/policy";

/** A policy that is enforced. */
export interface EnforcedPolicy {
  readonly revision: bigint;
  readonly compiled: CompiledPolicy;
}

/** What became of a pushed revision. */
export type PolicySwap =
  | { readonly kind: "enforced"; readonly revision: bigint }
  /** The revision enforced before stays, if there was one. */
  | { readonly kind: "kept"; readonly revision: bigint; readonly fault: string };

/** The policies that are enforced, by sandbox. Each decision reads one entry once, so it uses one revision throughout. */
export class PolicyTable {
  readonly #policies = new Map<string, EnforcedPolicy>();

  find(sandboxId: string): EnforcedPolicy | undefined {
    return this.#policies.get(sandboxId);
  }

  get sandboxIds(): readonly string[] {
    return [...this.#policies.keys()];
  }

  /** Replaces a sandbox's policy by this revision, unless it cannot be compiled, or is older. */
  swap({ sandboxId, revision, policy }: Pick<PolicyRevision, "sandboxId" | "revision" | "policy">): PolicySwap {
    const known = this.#policies.get(sandboxId);
    if (known !== undefined && known.revision >= revision) return { kind: "enforced", revision: known.revision };
    try {
      this.#policies.set(sandboxId, { revision, compiled: compilePolicy(policy ?? { rules: [] }) });
      return { kind: "enforced", revision };
    } catch (error) {
      if (!(error instanceof PolicyNotCompiled)) throw error;
      return { kind: "kept", revision: known?.revision ?? 0n, fault: error.message };
    }
  }

  remove(sandboxId: string): void {
    this.#policies.delete(sandboxId);
  }
}
