import { AuthService } from "@sandgate/api/auth";
import {
  type Authenticator,
  bearerToken,
  isTrusted,
  type Principal,
  requireCurrent,
  type SubjectRegister,
  type TrustState,
} from "@sandgate/identity";
import { formatSpiffeId } from "@sandgate/pki";
import { type Call, ServiceError } from "@sandgate/rpc";
import { networkOf } from "../passwords/network-of.ts";
import type { PodIdentities } from "./pod-identities.ts";
import { RefusalMemory } from "./refusal-memory.ts";

/**
 * Recognizes the supervisor of a pod that enrols, by its projected service account token, on IssueSandboxToken alone (G-05). Auth's handler
 * lets each pod enrol one key of one incarnation.
 */
export class KubernetesServiceAccountAuthenticator implements Authenticator {
  readonly name = "kubernetes-service-account";
  readonly #pods: PodIdentities;
  readonly #refusals: RefusalMemory;
  readonly #trust: TrustState;
  readonly #register: SubjectRegister;
  readonly #trustDomain: string;

  constructor(deps: {
    readonly pods: PodIdentities;
    readonly trust: TrustState;
    readonly register: SubjectRegister;
    readonly trustDomain: string;
    readonly clock: () => number;
  }) {
    this.#pods = deps.pods;
    this.#refusals = new RefusalMemory(deps);
    this.#trust = deps.trust;
    this.#register = deps.register;
    this.#trustDomain = deps.trustDomain;
  }

  async authenticate(call: Call): Promise<Principal | undefined> {
    if (call.method !== AuthService.method.issueSandboxToken) return undefined;
    const token = bearerToken(call);
    const jwt = token === undefined ? undefined : this.#pods.parse(token);
    if (jwt === undefined) return undefined;
    requireCurrent(this.#trust);
    const network = networkOf(call.connection.remoteAddress);
    return this.#refusals.look(jwt.token, network, async () => {
      const { sandboxId, incarnation, podUid } = await this.#pods.find(jwt, call.signal);
      const subject = await this.#register.findSandbox(sandboxId);
      if (subject === undefined || !isTrusted(subject) || subject.incarnation !== incarnation)
        throw new ServiceError("CREDENTIAL_REVOKED", "the sandbox is not trusted any more");
      return {
        kind: "sandbox",
        sandboxId,
        organizationId: subject.organizationId,
        incarnation,
        credential: "service-account",
        podUid,
        spiffeId: formatSpiffeId({ trustDomain: this.#trustDomain, kind: "sandbox", name: sandboxId }),
        authenticator: this.name,
      };
    });
  }
}
