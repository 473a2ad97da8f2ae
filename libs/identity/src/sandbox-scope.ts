import { type Call, type CallKey, createCallKey } from "@sandgate/rpc";

declare const scoped: unique symbol;

/**
 * Proof that the call's principal may act on this sandbox. Only the scope step makes one, so a store method that asks for
 * it cannot be reached by a handler whose method declares no sandbox.
 */
export interface SandboxScope {
  readonly sandboxId: string;
  readonly organizationId: string;
  readonly [scoped]: true;
}

const scopeKey: CallKey<SandboxScope> = createCallKey("sandbox scope");

/** The sandbox that the call may act on. Throws when the method's access option names no sandbox field. */
export function sandboxScopeOf(call: Call): SandboxScope {
  return call.get(scopeKey);
}

/** For the scope step alone: records that the call may act on the sandbox. */
export function grantSandboxScope(call: Call, scope: { sandboxId: string; organizationId: string }): void {
  call.set(scopeKey, scope as SandboxScope); // the one place where the brand is given
}
