import { createHash } from "node:crypto";
import { durationMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { AuthService, ContainerTokenOptions } from "@sandgate/api/auth";
import { MAX_TOKEN_LENGTH, mintToken, type Principal, peerKey, principalKey, sandboxScopeOf } from "@sandgate/identity";
import { type Call, type Handler, ServiceError } from "@sandgate/rpc";
import {
  type ContainerTokenRequest,
  type ContainerTokenRules,
  ownTokenRequest,
  planContainerToken,
} from "../domain/container-token-plan.ts";
import type { SigningKeys } from "../keys/signing-keys.ts";
import type { AuthStore } from "../store/auth-store.ts";
import type { SandboxSessionStore } from "../store/sandbox-session-store.ts";
import { actorOfCall } from "./actor-of-call.ts";
import { requireSandboxPrincipal } from "./require-sandbox-principal.ts";

/**
 * AuthService.IssueEgressToken: a container token. A supervisor's own names no host, as policy is live; a user's names those that the
 * Policy service has granted. It is given out once its session is kept, so that there is none that cannot be found and revoked.
 */
export function issueEgressToken(deps: {
  readonly store: Pick<AuthStore, "findSandbox">;
  readonly sessions: Pick<SandboxSessionStore, "open">;
  readonly keys: Pick<SigningKeys, "current">;
  readonly trustDomain: string;
  readonly rules: ContainerTokenRules;
  readonly clock: () => number;
  readonly newTokenId: () => string;
}): Handler<typeof AuthService.method.issueEgressToken> {
  const incarnationOf = async (principal: Principal, sandboxId: string, call: Call): Promise<bigint> => {
    if (principal.kind !== "user") return requireSandboxPrincipal(call, "session").incarnation;
    const subject = await deps.store.findSandbox(sandboxId);
    if (subject === undefined)
      throw new ServiceError("SANDBOX_NOT_FOUND", "no such sandbox", { sandbox_id: sandboxId });
    return subject.incarnation;
  };
  return async ({ options, allowedHosts }, call) => {
    const { sandboxId, organizationId } = sandboxScopeOf(call);
    const principal = call.get(principalKey);
    const bySupervisor = principal.kind !== "user";
    const hosts = readHosts(allowedHosts, call);
    if (bySupervisor && options !== undefined)
      throw new ServiceError("REQUEST_INVALID", "a supervisor's own token has no options", { field: "options" });
    const planned = planContainerToken(options === undefined ? ownTokenRequest : readOptions(options), deps.rules);
    if ("fault" in planned)
      throw new ServiceError("REQUEST_INVALID", planned.fault.message, { field: planned.fault.field });
    const { lifeMs, ...said } = planned.plan;

    const now = deps.clock();
    const issuedAtMs = Math.floor(now / 1000) * 1000;
    const tokenId = deps.newTokenId();
    const incarnation = await incarnationOf(principal, sandboxId, call);
    const common = { sandboxId, organizationId, incarnation, tokenId, issuedAtMs, expiresAtMs: issuedAtMs + lifeMs };
    const signer = deps.keys.current("ES256");
    const token = await mintToken({
      signer,
      trustDomain: deps.trustDomain,
      claims: { kind: "egress", ...common, ...said, allowedHosts: hosts },
    });
    if (token.length > MAX_TOKEN_LENGTH)
      throw new ServiceError("REQUEST_INVALID", "the token would be too long", { field: "allowed_hosts" });
    const decision = await deps.sessions.open(
      {
        ...common,
        tokenSha256: createHash("sha256").update(token).digest("hex"),
        userId: principal.kind === "user" ? principal.userId : undefined,
        bySupervisor,
        audience: said.audience,
        keyId: signer.kid,
        allowedHosts: hosts,
      },
      now,
      actorOfCall(call),
    );
    switch (decision) {
      case "absent":
        throw new ServiceError("SANDBOX_NOT_FOUND", "no such sandbox", { sandbox_id: sandboxId });
      case "other_incarnation":
        throw new ServiceError("SANDBOX_CHANGED", "another incarnation is registered", { sandbox_id: sandboxId });
      case "revoked":
        throw new ServiceError("CREDENTIAL_REVOKED", "the incarnation is revoked", { sandbox_id: sandboxId });
      case "too_many":
        throw new ServiceError("LIMIT_REACHED", "the sandbox has as many live tokens as it may have");
      case "open":
        return { token, expireTime: timestampFromMs(common.expiresAtMs), tokenId };
    }
  };
}

/** D-09: which hosts a token may name is for the sandbox's policy to say, never for the caller. */
function readHosts(allowedHosts: readonly string[], call: Call): readonly string[] | undefined {
  if (allowedHosts.length === 0) return undefined;
  const peer = call.get(peerKey);
  if (peer.kind === "service" && peer.service === "policy") return allowedHosts;
  throw new ServiceError("REQUEST_INVALID", "hosts are granted by the policy service alone", {
    field: "allowed_hosts",
    mend: "call PolicyService.IssueContainerToken, or `sandgate token mint --host`",
  });
}

function readOptions(options: ContainerTokenOptions): ContainerTokenRequest {
  const { audience, life, confirmation, isHipaaRegulated, isPciCompliant } = options;
  const { enforceContainerBinding, useEgressGateway, enforceCentralizedEgress } = options;
  return {
    audience,
    lifeMs: life === undefined ? undefined : durationMs(life),
    enforceContainerBinding,
    useEgressGateway,
    enforceCentralizedEgress,
    isHipaaRegulated,
    isPciCompliant,
    confirmation: readConfirmation(confirmation),
  };
}

function readConfirmation(confirmation: ContainerTokenOptions["confirmation"]): ContainerTokenRequest["confirmation"] {
  switch (confirmation.case) {
    case "keyThumbprint":
      return { kind: "key", thumbprint: confirmation.value };
    case "certificateSha256":
      return { kind: "certificate", sha256: confirmation.value };
    case undefined:
      return undefined;
  }
}
