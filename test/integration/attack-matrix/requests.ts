import { createHash } from "node:crypto";
import type { DescService, MessageInitShape } from "@bufbuild/protobuf";
import { AuthService } from "@sandgate/api/auth";
import { Role } from "@sandgate/api/options";
import { Action, PolicyService, ProviderKind, Verdict } from "@sandgate/api/policy";
import { type ExecSandboxRequestSchema, ExitReason, SandboxService } from "@sandgate/api/sandbox";
import { createClient } from "@sandgate/rpc";
import { organizations, users } from "../suite/start-suite.ts";
import type { World } from "./attackers.ts";
import { matrixPassword, matrixPasswordHash } from "./matrix-account.ts";
import type { TestSupervisor } from "./test-supervisor.ts";

/** The services that the matrix attacks. */
export const attackedServices: readonly DescService[] = [AuthService, SandboxService, PolicyService];

/** What a request is made from. */
export interface RequestContext {
  readonly world: World;
  readonly supervisor: TestSupervisor;
  /** Ends when the rows of the method are done. */
  readonly signal: AbortSignal;
}

/** The messages of one call about the sandbox "own" that is in order: whoever may make it gets OK. */
export type RequestMaker = (
  context: RequestContext,
) => readonly Record<string, unknown>[] | Promise<readonly Record<string, unknown>[]>;

/** One of the same content for the same text, so that a repeated mutation is the same mutation. */
const requestId = (text: string): string => {
  const hex = createHash("sha256").update(text).digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
};

const audience = "sts.example.com";
const newLogin = (): string => `${crypto.randomUUID()}@example.test`;

const createKey = (world: World) =>
  createClient(AuthService, world.adminOfAuth).createApiKey({ name: newLogin(), role: Role.VIEWER });

const nothing: RequestMaker = () => [{}];
const aboutOwn: RequestMaker = ({ world }) => [{ sandbox: world.own.id }];
const byOwn: RequestMaker = ({ world }) => [{ sandboxId: world.own.id }];

/**
 * The allowed request of every method, in the order in which they are made: those that end a credential or the sandbox come
 * last. A method that is missing here fails the matrix.
 */
export const requests: Readonly<Record<string, RequestMaker>> = {
  GetPrincipal: nothing,
  "sandgate.auth.v1.AuthService/ListAuditEvents": nothing,
  "sandgate.sandbox.v1.SandboxService/ListAuditEvents": nothing,
  "sandgate.policy.v1.PolicyService/ListAuditEvents": nothing,
  "sandgate.auth.v1.AuthService/VerifyAuditLog": nothing,
  "sandgate.sandbox.v1.SandboxService/VerifyAuditLog": nothing,
  "sandgate.policy.v1.PolicyService/VerifyAuditLog": nothing,
  CreateUserToken: nothing,
  ListSigningKeys: nothing,
  InviteUser: () => [{ login: "invited@example.test", role: Role.VIEWER }],
  AcceptInvitation: async ({ world }) => {
    const auth = createClient(AuthService, world.adminOfAuth);
    const { token } = await auth.inviteUser({ login: newLogin(), role: Role.VIEWER });
    return [{ token, password: matrixPassword }];
  },
  Login: ({ world }) => [{ login: world.account.login, password: matrixPassword }],
  ChangePassword: ({ world }) => [
    { login: world.account.login, password: matrixPassword, newPassword: matrixPassword },
  ],
  RefreshUserSession: async ({ world }) => [
    { refreshToken: await world.account.logIn(), requestId: crypto.randomUUID() },
  ],
  ListUsers: nothing,
  ListInvitations: nothing,
  CreateApiKey: () => [{ name: newLogin(), role: Role.VIEWER }],
  ListApiKeys: nothing,
  ExchangeApiKey: async ({ world }) => [{ secret: (await createKey(world)).secret }],
  RevokeApiKey: async ({ world }) => [{ apiKeyId: (await createKey(world)).apiKey?.apiKeyId ?? "" }],
  SignUp: () => [{ login: newLogin(), password: matrixPassword, organizationName: "of the matrix" }],
  CreateOrganization: () => [{ name: "of the matrix", adminLogin: newLogin() }],
  ImportUser: () => [{ login: newLogin(), role: Role.VIEWER, passwordHash: matrixPasswordHash }],
  WithdrawInvitation: async ({ world }) => {
    const auth = createClient(AuthService, world.adminOfAuth);
    const { invitationId } = await auth.inviteUser({ login: newLogin(), role: Role.VIEWER });
    return [{ invitation: invitationId }];
  },
  Logout: async ({ world }) => [{ refreshToken: await world.account.logIn() }],
  ResolveSandbox: ({ world }) => [{ key: { case: "sandboxId", value: world.own.id } }],
  ResolveUser: () => [{ userId: users.viewer }],
  ListLoginProviders: nothing,
  RegisterOidcUser: ({ world }) => [{ token: world.oidcToken }],
  WatchTrust: nothing,
  IssueEgressToken: byOwn,
  IssueContainerToken: ({ world }) => [{ sandbox: world.own.id }],
  ListSandboxSessions: nothing,
  GetSandboxSession: async ({ world }) => [{ key: { case: "tokenId", value: await mintedTokenId(world) } }],
  RevokeSandboxSessions: async ({ world }) => [{ target: { case: "tokenId", value: await mintedTokenId(world) } }],
  RejoinSandbox: ({ world }) => [{ step: { case: "sandboxId", value: world.own.id } }],
  IssueSandboxToken: ({ world }) => [{ sandboxId: world.own.id, certificateSigningRequest: world.own.csr }],
  RegisterSandbox: ({ world }) => [
    {
      sandboxId: world.own.id,
      name: world.own.name,
      organizationId: organizations.own,
      ownerUserId: users.operator,
      incarnation: world.own.incarnation,
    },
  ],
  CreateBootstrapCredential: ({ world }) => [{ sandboxId: world.own.id, incarnation: world.own.incarnation }],
  CreateExchangePermit: ({ world }) => [{ sandboxId: world.own.id, audience, policyRevision: 1n }],
  ExchangeToken: async ({ world }) => {
    const policy = createClient(AuthService, world.serviceChannel("policy", "auth"));
    const { permit } = await policy.createExchangePermit({ sandboxId: world.own.id, audience, policyRevision: 1n });
    return [{ sandboxId: world.own.id, audience, permit }];
  },

  CreateSandbox: () => [{ requestId: requestId("CreateSandbox"), name: "by-matrix" }],
  GetSandbox: aboutOwn,
  ListSandboxes: nothing,
  WatchSandbox: aboutOwn,
  GetIsolation: nothing,
  GetQuota: nothing,
  CreateSandboxTemplate: () => [newTemplate()],
  GetSandboxTemplate: async ({ world }) => [{ name: await createTemplate(world) }],
  ListSandboxTemplates: nothing,
  DeleteSandboxTemplate: async ({ world }) => [{ name: await createTemplate(world), requestId: crypto.randomUUID() }],
  GetSandboxConfig: byOwn,
  ExecSandbox: ({ world }) => [{ sandbox: world.own.id, message: { case: "start", value: { command: ["true"] } } }],
  StartProcess: ({ world }) => [
    { sandbox: world.own.id, requestId: requestId("StartProcess"), start: { command: ["true"] } },
  ],
  AttachProcess: ({ world }) => [
    { sandbox: world.own.id, message: { case: "attach", value: { processId: `prc-${"a".repeat(20)}` } } },
  ],
  WriteProcessInput: ({ world }) => [{ ...aProcess(world), input: { data: Buffer.from("x") } }],
  SignalProcess: ({ world }) => [{ ...aProcess(world), signal: "SIGTERM" }],
  WaitProcess: ({ world }) => [aProcess(world)],
  ListProcesses: aboutOwn,
  ReadFile: ({ world }) => [{ sandbox: world.own.id, path: "a" }],
  WriteFile: ({ world }) => [{ sandbox: world.own.id, part: { case: "start", value: { path: "a" } } }],
  ListFiles: aboutOwn,
  ReadArchive: ({ world }) => [{ sandbox: world.own.id, path: "a" }],
  WriteArchive: ({ world }) => [{ sandbox: world.own.id, part: { case: "start", value: { path: "a" } } }],
  ConnectPort: ({ world }) => [{ sandbox: world.own.id, message: { case: "port", value: 8080 } }],
  RelayExec: async ({ world, supervisor, signal }) => {
    const execId = supervisor.holdNextExec();
    const requests = (async function* (): AsyncGenerator<MessageInitShape<typeof ExecSandboxRequestSchema>> {
      yield { sandbox: world.own.id, message: { case: "start", value: { command: ["cat"] } } };
      yield { message: { case: "input", value: { input: { case: "stdin", value: Buffer.from("x") } } } };
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    })();
    const running = createClient(SandboxService, world.operator).execSandbox(requests, { signal });
    void (async () => {
      for await (const _output of running);
    })().catch(() => undefined); // ends with the rows
    return [{ sandboxId: world.own.id, execId: await execId }];
  },
  ConnectSupervisor: async ({ world, supervisor }) => {
    await supervisor.stop(); // it would take its place back
    return [{ sandboxId: world.own.id, message: { case: "hello", value: { incarnation: world.own.incarnation } } }];
  },
  PushSandboxLogs: ({ world }) => [
    { sandboxId: world.own.id, incarnation: world.own.incarnation, data: Buffer.from("line\n") },
  ],
  ReadSandboxLogs: aboutOwn,

  GetPolicy: aboutOwn,
  SetPolicy: ({ world }) => [{ sandbox: world.own.id, policy: {}, requestId: crypto.randomUUID() }],
  PermitTokenExchange: async ({ world }) => {
    await createClient(PolicyService, world.operatorAt("policy")).setPolicy({
      sandbox: world.own.id,
      policy: { identity: { audiences: [audience] } },
    });
    return [{ sandboxId: world.own.id, audience }];
  },
  GetInferenceBundle: aboutOwn,
  CreateProvider: () => [{ provider: newProvider(), secret: "sk-matrix" }],
  GetProvider: async ({ world }) => [{ name: await createProvider(world) }],
  ListProviders: nothing,
  UpdateProvider: async ({ world }) => [{ name: await createProvider(world), secret: "sk-matrix-2" }],
  DeleteProvider: async ({ world }) => [{ name: await createProvider(world) }],
  GetSandboxProviderEnvironment: aboutOwn,
  ReleaseProviderSecret: async ({ world }) => {
    const name = await createProvider(world);
    const policy = createClient(PolicyService, world.operatorAt("policy"));
    await policy.setPolicy({ sandbox: world.own.id, policy: { providers: [name] } });
    const { environment } = await policy.getSandboxProviderEnvironment({ sandbox: world.own.id });
    const providerId = await boundProviderId(world, name);
    return [{ sandboxId: world.own.id, placeholder: environment.MATRIX_KEY, providerId, version: 1n }];
  },
  UpdateConfig: ({ world }) => [{ sandbox: world.own.id, addRules: [allowed("config.example.test")] }],
  SubmitPolicyAnalysis: ({ world }) => [
    { sandbox: world.own.id, source: { case: "rules", value: { rules: [allowed("asked.example.test")] } } },
  ],
  GetDraftPolicy: aboutOwn,
  SimulatePolicy: ({ world }) => [{ sandbox: world.own.id, policy: {} }],
  GetPolicyProposal: async ({ world }) => [await newProposal(world)],
  ListPolicyProposals: aboutOwn,
  UpdatePolicyProposal: async ({ world }) => [
    { ...(await newProposal(world)), rules: [allowed(`${crypto.randomUUID()}.example.test`)], expectedVersion: 1n },
  ],
  ApprovePolicyProposal: async ({ world }) => [{ ...(await newProposal(world)), expectedVersion: 1n }],
  RejectPolicyProposal: async ({ world }) => [{ ...(await newProposal(world)), expectedVersion: 1n }],
  UndoPolicyProposal: async ({ world }) => {
    const proposal = await newProposal(world);
    await createClient(PolicyService, world.operatorAt("policy")).approvePolicyProposal({
      ...proposal,
      expectedVersion: 1n,
    });
    return [{ ...proposal, expectedVersion: 2n }];
  },
  ListPolicyRevisions: aboutOwn,
  WatchPolicy: aboutOwn,
  WatchEnforcement: nothing,
  WatchPolicies: nothing,
  ReportPolicyStatus: ({ world }) => [{ enforcements: [{ sandboxId: world.own.id, revision: 1n }] }],
  ReportDecisions: () => [{ proxyRunId: "matrix", firstSequence: 1n }],
  ListDecisions: aboutOwn,
  ExplainDecision: async ({ world }) => [{ decisionId: await reportedDecision(world) }],
  WatchDecisions: ({ world, signal }) => {
    keepDeciding(world, signal);
    return [{ sandbox: world.own.id }];
  },

  ReportProcessExit: ({ world }) => [
    {
      sandboxId: world.own.id,
      incarnation: world.own.incarnation,
      exit: { reason: ExitReason.EXITED, code: 0 },
    },
  ],
  RefreshSandboxToken: byOwn,
  RotateSigningKeys: nothing,
  ResealSigningKeys: nothing,
  RegisterOperatorCertificate: async ({ world }) => [
    { certificate: await world.newOperatorCertificate(), name: `op-${crypto.randomUUID()}`, role: Role.VIEWER },
  ],
  ListOperatorCertificates: nothing,
  // of the caller, and shown by nobody else
  RevokeOperatorCertificates: async ({ world }) => [
    { target: { case: "certificate", value: await world.newOperatorCertificate(users.viewer) } },
  ],
  // one that nothing is signed with
  RevokeSigningKey: ({ world }) => [{ kid: world.waitingKid }],
  // these end the account's sessions
  SetUserRole: ({ world }) => [{ user: world.account.login, role: Role.OPERATOR }],
  DisableUser: ({ world }) => [{ user: world.account.login }],
  EnableUser: ({ world }) => [{ user: world.account.login }],
  // these end a sandbox: not "own", whose credentials the others need
  RevokeSandbox: ({ world }) => [{ sandbox: world.doomed.revoked.id }],
  UpdateSandbox: ({ world }) => [
    { sandbox: world.own.id, requestId: requestId("UpdateSandbox"), setLabels: { by: "matrix" } },
  ],
  StopSandbox: ({ world }) => [{ sandbox: world.doomed.stopped.id, requestId: requestId("StopSandbox") }],
  StartSandbox: ({ world }) => [{ sandbox: world.doomed.stopped.id, requestId: requestId("StartSandbox") }],
  DeleteSandbox: ({ world }) => [{ sandbox: world.doomed.deleted.id, requestId: requestId("DeleteSandbox") }],
  EndIncarnation: ({ world }) => [{ sandboxId: world.doomed.ended.id, incarnation: world.doomed.ended.incarnation }],
  RetireSandbox: ({ world }) => [{ sandboxId: world.doomed.retired.id }],
};

const aProcess = (world: World) => ({ sandbox: world.own.id, processId: `prc-${"a".repeat(20)}` });

const newProvider = () => ({
  name: `p-${crypto.randomUUID()}`,
  kind: ProviderKind.BEARER,
  endpoints: [{ host: "api.example.com" }],
  environment: "MATRIX_KEY",
});

const newTemplate = () => ({ requestId: crypto.randomUUID(), template: { name: `t-${crypto.randomUUID()}` } });

/** The name of a template that an operator has made. */
async function createTemplate(world: World): Promise<string> {
  const request = newTemplate();
  await createClient(SandboxService, world.operator).createSandboxTemplate(request);
  return request.template.name;
}

/** The name of a provider that an administrator has made. */
async function createProvider(world: World): Promise<string> {
  const provider = newProvider();
  await createClient(PolicyService, world.adminAt("policy")).createProvider({ provider, secret: "sk-matrix" });
  return provider.name;
}

/** The id by which the proxies know a provider of "own". */
async function boundProviderId(world: World, name: string): Promise<string> {
  const proxy = createClient(PolicyService, world.serviceChannel("egress-proxy", "policy"));
  for await (const { providers } of proxy.watchPolicies({}, { timeoutMs: 20_000 })) {
    const bound = providers.flatMap((own) => own.providers).find(({ provider }) => provider?.name === name);
    if (bound !== undefined) return bound.providerId;
  }
  throw new Error("the provider is not granted");
}

/** A decision about "own" that a proxy has reported. */
async function reportedDecision(world: World): Promise<string> {
  const decisionId = world.own.id.replace("sbx", "dec");
  await createClient(PolicyService, world.serviceChannel("egress-proxy", "policy")).reportDecisions({
    proxyRunId: crypto.randomUUID(),
    firstSequence: 1n,
    decisions: [{ decisionId, sandboxId: world.own.id, verdict: Verdict.DENIED, host: "a.example.test", port: 80 }],
  });
  return decisionId;
}

/** A container token for "own" that an administrator has minted. */
async function mintedTokenId(world: World): Promise<string> {
  const client = createClient(AuthService, world.adminOfAuth);
  return (await client.issueEgressToken({ sandboxId: world.own.id })).tokenId;
}

function allowed(host: string) {
  return { name: "matrix", action: Action.ALLOW, hosts: [host] };
}

/** A pending proposal for "own" that nobody else names. */
async function newProposal(world: World): Promise<{ sandbox: string; proposalId: string }> {
  const rules = [allowed(`${crypto.randomUUID()}.example.test`)];
  const { proposals } = await createClient(PolicyService, world.operatorAt("policy")).submitPolicyAnalysis({
    sandbox: world.own.id,
    source: { case: "rules", value: { rules } },
  });
  return { sandbox: world.own.id, proposalId: proposals[0]?.proposalId ?? "" };
}

/** Methods whose request can be made once only: each allowed caller after the first gets one of its own. */
export const madeOnce: ReadonlySet<string> = new Set([
  "RelayExec",
  "SetPolicy",
  "ExchangeToken",
  "AcceptInvitation",
  "RefreshUserSession",
  "Logout",
  "SignUp",
  "CreateApiKey",
  "ImportUser",
  "WithdrawInvitation",
  "RegisterOperatorCertificate",
  "CreateProvider",
  "CreateSandboxTemplate",
  "DeleteSandboxTemplate",
  "DeleteProvider",
  "UpdatePolicyProposal",
  "ApprovePolicyProposal",
  "RejectPolicyProposal",
  "UndoPolicyProposal",
]);

/** Reports a decision about "own" again and again, so that whoever watches sees one. */
function keepDeciding(world: World, signal: AbortSignal): void {
  const client = createClient(PolicyService, world.serviceChannel("egress-proxy", "policy"));
  const proxyRunId = crypto.randomUUID();
  let sequence = 0;
  const timer = setInterval(() => {
    sequence += 1;
    const decision = {
      decisionId: `dec-${String(sequence)
        .padStart(20, "a")
        .replace(/[0189]/g, "b")}`,
      sandboxId: world.own.id,
      verdict: Verdict.DENIED,
      reason: "host_not_allowed",
      method: "CONNECT",
      host: "example.test",
      port: 443,
    };
    client
      .reportDecisions({ proxyRunId, firstSequence: BigInt(sequence), decisions: [decision] })
      .catch(() => undefined); // the watcher's row says what is missing
  }, 50);
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
}
