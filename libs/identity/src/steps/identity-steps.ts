import { type Call, ServiceError, type Step } from "@sandgate/rpc";
import type { Authenticator } from "../authenticators/authenticator.ts";
import { peerKey } from "../peer.ts";
import { principalKey } from "../principal.ts";
import type { SubjectRegister } from "../trust/subject-register.ts";
import type { TrustState } from "../trust/trust-state.ts";
import { authenticateStep } from "./authenticate-step.ts";
import { authorizeStep } from "./authorize-step.ts";
import type { CertificateAuthorities } from "./certificate-authorities.ts";
import { peerStep } from "./peer-step.ts";
import { requestedSandboxKey, scopeStep } from "./scope-step.ts";

/** A call that was refused, for the audit log (G-23). */
export interface Denial {
  readonly reason: string;
  /** Full proto name. */
  readonly service: string;
  readonly method: string;
  /** SPIFFE id, or "anonymous". */
  readonly principal: string;
  /** SPIFFE id, or "none". */
  readonly peer: string;
  readonly organizationId: string;
  /** The sandbox that the request named: its id where that is known, else its name, empty when it is no possible name. */
  readonly sandboxId: string;
  readonly callId: string;
}

/** What the identity steps of one program are made of. */
export interface IdentityOptions {
  readonly trust: TrustState;
  readonly register: SubjectRegister;
  readonly trustDomain: string;
  /** Undefined for listeners that ask for no certificate. */
  readonly authorities: CertificateAuthorities | undefined;
  /** In the order in which they are asked. */
  readonly authenticators: readonly Authenticator[];
  readonly clock: () => number;
  /** Resolves when the denial is durable; a failure does not let the call through. */
  readonly recordDenial: (denial: Denial) => Promise<void>;
  readonly onOutcome?: (authenticator: string, outcome: string) => void;
}

/** Who is calling, for whom, and may they: peer -> authenticate -> authorize -> scope, with every refusal audited. */
export function createIdentityStep(options: IdentityOptions): Step {
  const steps = [peerStep(options), authenticateStep(options), authorizeStep(), scopeStep(options)];
  return async (call) => {
    try {
      for (const step of steps) {
        const pending = step(call);
        if (pending !== undefined) await pending;
      }
    } catch (thrown) {
      if (thrown instanceof ServiceError && !isOutage(thrown)) await options.recordDenial(denialOf(call, thrown));
      throw thrown;
    }
  };
}

/** Whether nothing was decided: what is needed to decide was out of reach. */
function isOutage({ reason }: ServiceError): boolean {
  return reason === "TRUST_UNAVAILABLE" || reason === "IDENTITY_PROVIDER_UNAVAILABLE" || reason === "UNAVAILABLE";
}

/** A refusal as the audit log has it. */
export function denialOf(call: Call, error: ServiceError): Denial {
  const principal = call.find(principalKey);
  const peer = call.find(peerKey);
  return {
    reason: error.reason,
    service: call.method.parent.typeName,
    method: call.method.name,
    principal: principal === undefined || principal.kind === "anonymous" ? "anonymous" : principal.spiffeId,
    peer: peer === undefined || peer.kind === "none" ? "none" : peer.spiffeId,
    organizationId: principal === undefined || principal.kind === "anonymous" ? "" : principal.organizationId,
    sandboxId: call.find(requestedSandboxKey) ?? "",
    callId: call.id,
  };
}
