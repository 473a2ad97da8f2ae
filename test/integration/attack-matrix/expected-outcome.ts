import type { DescMethod } from "@bufbuild/protobuf";
import { type Access, PrincipalKind, Role, SandboxCredential } from "@sandgate/api/options";
import { readAccess } from "@sandgate/rpc";
import type { Attacker, Identity } from "./attacker.ts";

/**
 * What must become of a call about the sandbox "own", by the access option alone: "OK" or the reason of the refusal. It is
 * written from the design, not from the pipeline: first where the method exists, then which peer, whose credential, which
 * principal, which sandbox.
 */
export function expectedOutcome(method: DescMethod, attacker: Attacker): string {
  const access = readAccess(method);
  const { identity } = attacker;
  if (identity.kind === "outsider") return "UNAVAILABLE";
  if (!access.listeners.includes(attacker.listener)) return "METHOD_NOT_FOUND";
  const peer = refusalOfPeer(access, attacker);
  if (peer !== undefined) return peer;
  switch (identity.kind) {
    case "impostor":
      return method.name === "IssueSandboxToken" ? (identity.onEnrolment ?? identity.reason) : identity.reason;
    case "service":
      return mayForward(access, identity.service) ? outcomeForward(access, identity.caller, method) : "OK";
    case "nobody":
      return access.principals.includes(PrincipalKind.ANONYMOUS) ? "OK" : "CREDENTIAL_MISSING";
    case "user":
      // a session must not be able to prolong itself
      if (method.name === "CreateUserToken" && identity.bySession === true) return "PRINCIPAL_NOT_ALLOWED";
      return outcomeOfUser(access, identity, method);
    case "sandbox":
      return outcomeOfSandbox(access, identity, method);
  }
}

function refusalOfPeer(access: Access, attacker: Attacker): string | undefined {
  const { identity } = attacker;
  if (identity.kind === "service")
    return access.peers.some(({ service }) => service === identity.service) ? undefined : "PEER_NOT_ALLOWED";
  if (attacker.onSandboxConnection) {
    // a certificate that is not trusted any more is refused before anything else is asked
    if (identity.kind === "impostor" && identity.badCertificate === true) return identity.reason;
    return access.principals.includes(PrincipalKind.SANDBOX) ? undefined : "PEER_NOT_ALLOWED";
  }
  return access.principals.length > 0 ? undefined : "PEER_NOT_ALLOWED";
}

/** Methods about one thing of the organization, with what another one's callers are told (G-25). */
const aboutOneOfTheOrganization: Readonly<Record<string, string>> = {
  GetSandboxSession: "SANDBOX_SESSION_NOT_FOUND",
  RevokeSandboxSessions: "SANDBOX_SESSION_NOT_FOUND",
  WithdrawInvitation: "INVITATION_NOT_FOUND",
  SetUserRole: "USER_NOT_FOUND",
  DisableUser: "USER_NOT_FOUND",
  EnableUser: "USER_NOT_FOUND",
  RevokeOperatorCertificates: "OPERATOR_CERTIFICATE_NOT_FOUND",
  ExplainDecision: "DECISION_NOT_FOUND",
  GetSandboxTemplate: "TEMPLATE_NOT_FOUND",
  DeleteSandboxTemplate: "TEMPLATE_NOT_FOUND",
  GetProvider: "PROVIDER_NOT_FOUND",
  UpdateProvider: "PROVIDER_NOT_FOUND",
  DeleteProvider: "PROVIDER_NOT_FOUND",
};

function mayForward(access: Access, service: string): boolean {
  return access.peers.some((rule) => rule.service === service && rule.mayForward);
}

function outcomeForward(
  access: Access,
  caller: Extract<Identity, { kind: "user" }> | undefined,
  method: DescMethod,
): string {
  return caller === undefined ? "CREDENTIAL_MISSING" : outcomeOfUser(access, caller, method);
}

function outcomeOfUser(access: Access, user: Extract<Identity, { kind: "user" }>, method: DescMethod): string {
  if (!access.principals.includes(PrincipalKind.USER)) return "PRINCIPAL_NOT_ALLOWED";
  if (user.role < access.minimumRole) return "ROLE_TOO_LOW";
  if (access.operatorCertificate && user.bySession === true) return "PRINCIPAL_NOT_ALLOWED";
  // an organization is made by who runs the suite, who comes with a certificate
  if (method.name === "CreateOrganization" && user.bySession === true) return "PRINCIPAL_NOT_ALLOWED";
  // the key is an administrator's: others than administrators may revoke their own alone
  if (method.name === "RevokeApiKey" && (user.organization === "other" || user.role < Role.ADMIN))
    return "API_KEY_NOT_FOUND";
  if (user.organization === "own") return "OK";
  return isAboutOneSandbox(access) ? "SANDBOX_NOT_FOUND" : (aboutOneOfTheOrganization[method.name] ?? "OK");
}

function outcomeOfSandbox(access: Access, sandbox: Extract<Identity, { kind: "sandbox" }>, method: DescMethod): string {
  // what a supervisor enrols with is looked at on IssueSandboxToken alone; anywhere else it is no credential of ours
  if (sandbox.credential !== "session" && method.name !== "IssueSandboxToken") return "CREDENTIAL_REJECTED";
  if (!access.principals.includes(PrincipalKind.SANDBOX)) return "PRINCIPAL_NOT_ALLOWED";
  const isEnrolment = access.sandboxCredential === SandboxCredential.BOOTSTRAP;
  if (isEnrolment === (sandbox.credential === "session")) return "PRINCIPAL_NOT_ALLOWED";
  return sandbox.which === "other" && isAboutOneSandbox(access) ? "SANDBOX_NOT_FOUND" : "OK";
}

function isAboutOneSandbox(access: Access): boolean {
  return access.sandbox.case === "sandboxIdField" || access.sandbox.case === "sandboxNameField";
}
