import type { AuthService } from "@sandgate/api/auth";
import type { PolicyService } from "@sandgate/api/policy";
import { forwardPrincipal, principalKey, type SandboxScope, sandboxScopeOf } from "@sandgate/identity";
import { compilePolicy, grantHosts, HostFault, type HostGrant, parseAuthoredHost } from "@sandgate/policy";
import { type Client, type Handler, ServiceError } from "@sandgate/rpc";
import type { PolicyStore } from "../store/policy-store.ts";

const MAX_HOSTS = 64;

/** PolicyService.IssueContainerToken: a container token from Auth that names no host but those that the sandbox's policy allows. */
export function issueContainerToken(deps: {
  readonly store: Pick<PolicyStore, "findPolicy">;
  readonly auth: Pick<Client<typeof AuthService>, "issueEgressToken">;
  readonly clock: () => number;
}): Handler<typeof PolicyService.method.issueContainerToken> {
  const grant = async (scope: SandboxScope, asked: readonly string[]): Promise<HostGrant> => {
    const hosts = readHosts(asked);
    if (hosts.length === 0) return { granted: [], refused: [] };
    const state = await deps.store.findPolicy(scope);
    const grant = grantHosts(compilePolicy(state?.revision.policy ?? { rules: [] }), hosts, deps.clock());
    if (grant.granted.length > 0) return grant;
    throw new ServiceError("HOSTS_NOT_GRANTED", "the policy allows none of the hosts", { sandbox_id: scope.sandboxId });
  };
  return async ({ hosts, options }, call) => {
    const scope = sandboxScopeOf(call);
    const { granted, refused } = await grant(scope, hosts);
    const { token, expireTime, tokenId } = await deps.auth.issueEgressToken(
      { sandboxId: scope.sandboxId, allowedHosts: [...granted], ...(options === undefined ? {} : { options }) },
      { ...forwardPrincipal(call.get(principalKey)), signal: call.signal },
    );
    return {
      token,
      tokenId,
      grantedHosts: [...granted],
      refusedHosts: [...refused],
      ...(expireTime === undefined ? {} : { expireTime }),
    };
  };
}

/** The hosts in canonical form. Throws REQUEST_INVALID with the first that is none: an address, a list, a star in the middle. */
function readHosts(hosts: readonly string[]): readonly string[] {
  if (hosts.length > MAX_HOSTS)
    throw new ServiceError("REQUEST_INVALID", "a token names at most 64 hosts", { field: "hosts" });
  return hosts.map((host, index) => {
    try {
      return parseAuthoredHost(host);
    } catch (fault) {
      if (!(fault instanceof HostFault)) throw fault;
      throw new ServiceError("REQUEST_INVALID", "this is no host that a token can name", {
        field: `hosts[${index}]`,
        fault: fault.message,
      });
    }
  });
}
