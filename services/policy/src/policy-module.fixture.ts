import { randomBytes } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import {
  type CreateExchangePermitRequest,
  CreateExchangePermitResponseSchema,
  IssueEgressTokenResponseSchema,
  type SandboxSubject,
  SandboxSubjectSchema,
  type WatchTrustResponse,
  WatchTrustResponseSchema,
} from "@sandgate/api/auth";
import { Listener, Role } from "@sandgate/api/options";
import { PolicyService } from "@sandgate/api/policy";
import {
  grantSandboxScope,
  type Peer,
  type Principal,
  peerKey,
  principalKey,
  type SubjectRegister,
  sandboxFieldOf,
} from "@sandgate/identity";
import { type Client, createClient, createInProcessChannel, Pipeline, ServiceError, type Step } from "@sandgate/rpc";
import { createKeyRing, type KeyRing } from "@sandgate/sealing";
import { createLogger } from "@sandgate/telemetry";
import { createPolicyModule, type PolicyModule } from "./module.ts";
import { type PolicyDatabase, startPolicyDatabase } from "./store/policy-database.fixture.ts";
import { newSandboxId } from "./store/policy-store.contract.ts";

export const organizationId = "6f1d9a52-0c5e-4a39-9c55-0f8a3f1f7a01";
export const userSpiffeId = "spiffe://sandgate.local/user/alice";

/** A Policy service on a database of its own, with a register of sandboxes that the test writes. */
export interface PolicyFixture {
  readonly database: PolicyDatabase;
  readonly policy: Client<typeof PolicyService>;
  /** As an egress proxy. */
  readonly proxy: Client<typeof PolicyService>;
  /** As a user of another organization. */
  readonly foreigner: Client<typeof PolicyService>;
  /** As a sandbox's supervisor. */
  asSandbox(sandboxId: string): Client<typeof PolicyService>;
  /** What Auth was asked for permits for; it gives each the permit "permit". */
  readonly permits: Pick<CreateExchangePermitRequest, "sandboxId" | "audience" | "policyRevision">[];
  /** Ids of the sandboxes whose sockets are open. */
  readonly sockets: Set<string>;
  readonly module: PolicyModule;
  readonly subjects: Map<string, SandboxSubject>;
  /** Registers a living sandbox. */
  register(): string;
  /** As Auth does: the register first, then the trust stream. */
  retire(sandboxId: string): void;
  /** What Auth was asked for, and for whom. */
  readonly asked: readonly { readonly request: object; readonly headers: object | undefined }[];
  /** What the trust stream says. */
  tellTrust(change: WatchTrustResponse["change"]): void;
  /** Another replica on the same database, not started. */
  createReplica(options?: { sealingKeys: KeyRing | undefined }): Omit<PolicyFixture, "createReplica" | "stop">;
  stop(): Promise<void>;
}

/** Starts one; the clock stands where `now` says. */
export async function startPolicyFixture(
  options: { now?: () => number; sealingKeys?: KeyRing } = {},
): Promise<PolicyFixture> {
  const database = await startPolicyDatabase();
  const subjects = new Map<string, SandboxSubject>();
  const sealingKeys = options.sealingKeys ?? createKeyRing([randomBytes(32)]);
  const createReplica = (replica: { sealingKeys: KeyRing | undefined } = { sealingKeys }) =>
    createPart(database, subjects, options.now ?? Date.now, replica.sealingKeys);
  const part = createReplica();
  await part.module.start();
  return {
    ...part,
    createReplica,
    async stop() {
      await part.module.stop();
      await database.stop();
    },
  };
}

function createPart(
  database: PolicyDatabase,
  subjects: Map<string, SandboxSubject>,
  clock: () => number,
  sealingKeys: KeyRing | undefined,
): Omit<PolicyFixture, "createReplica" | "stop"> {
  const listeners = new Set<(change: WatchTrustResponse) => void>();
  const asked: { request: object; headers: object | undefined }[] = [];
  const register: SubjectRegister = {
    findSandbox: async (sandboxId) => subjects.get(sandboxId),
    findSandboxByName: async () => undefined,
    findUser: async () => undefined,
  };
  const permits: PolicyFixture["permits"] = [];
  const sockets = new Set<string>();
  const module = createPolicyModule({
    pool: database.pool,
    connection: database.connection,
    audit: database.audit,
    subjects: register,
    trust: {
      onChange(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
    auth: {
      createExchangePermit: async ({ sandboxId = "", audience = "", policyRevision = 0n }) => {
        permits.push({ sandboxId, audience, policyRevision });
        return create(CreateExchangePermitResponseSchema, { permit: "permit" });
      },
      issueEgressToken: async (request, options) => {
        asked.push({ request, headers: options?.headers });
        return create(IssueEgressTokenResponseSchema, { token: "signed", tokenId: "t".repeat(43) });
      },
    },
    sockets: {
      open: async (sandboxId) => void sockets.add(sandboxId),
      close: async (sandboxId) => void sockets.delete(sandboxId),
    },
    logger: createLogger({ service: "policy", level: "error" }),
    clock,
    newId: () => crypto.randomUUID(),
    decisionRetentionDays: 7,
    sealingKeys,
  });
  const clientAs = (peer: Peer & { spiffeId: string }, principal: Principal | undefined) => {
    const pipeline = new Pipeline({
      listener: Listener.MTLS,
      services: module.services,
      steps: [admit(subjects, peer, principal)],
    });
    const newCallId = () => crypto.randomUUID();
    return createClient(
      PolicyService,
      createInProcessChannel({ pipeline: () => pipeline, peer: peer.spiffeId, newCallId }),
    );
  };
  const tellTrust = (change: WatchTrustResponse["change"]): void => {
    for (const listener of listeners) listener(create(WatchTrustResponseSchema, { sequence: 1n, change }));
  };
  return {
    database,
    module,
    subjects,
    tellTrust,
    permits,
    asked,
    sockets,
    policy: clientAs(serviceNamed("sandbox"), userOf(organizationId)),
    foreigner: clientAs(serviceNamed("sandbox"), userOf(crypto.randomUUID())),
    proxy: clientAs(serviceNamed("egress-proxy"), undefined),
    asSandbox(sandboxId) {
      const spiffeId = `spiffe://sandgate.local/sandbox/${sandboxId}`;
      const common = { kind: "sandbox", sandboxId, incarnation: 1n, spiffeId } as const;
      return clientAs(
        { ...common, keyThumbprint: "k".repeat(43) },
        { ...common, organizationId, credential: "session", tokenId: "t".repeat(43), keyId: "", authenticator: "test" },
      );
    },
    register() {
      const sandboxId = newSandboxId();
      subjects.set(
        sandboxId,
        create(SandboxSubjectSchema, { sandboxId, organizationId, incarnation: 1n, alive: true }),
      );
      return sandboxId;
    },
    retire(sandboxId) {
      const subject = create(SandboxSubjectSchema, { sandboxId, organizationId, incarnation: 1n, alive: false });
      subjects.set(sandboxId, subject);
      tellTrust({ case: "sandbox", value: subject });
    },
  };
}

function serviceNamed(service: string) {
  return { kind: "service", service, spiffeId: `spiffe://sandgate.local/service/${service}` } as const;
}

function userOf(organization: string): Principal {
  return {
    kind: "user",
    userId: "alice",
    organizationId: organization,
    role: Role.ADMIN,
    spiffeId: userSpiffeId,
    authenticator: "test",
  };
}

/** Stands in for the identity steps: the caller is who the test says, and reaches every sandbox in the register by its id. */
function admit(subjects: ReadonlyMap<string, SandboxSubject>, peer: Peer, principal: Principal | undefined): Step {
  return (call) => {
    call.set(peerKey, peer);
    if (principal !== undefined) call.set(principalKey, principal);
    const named = ["sandbox", "sandboxId"].map((field) => (call.request as unknown as Record<string, unknown>)[field]);
    const sandboxId = named.find((name) => typeof name === "string");
    if (sandboxFieldOf(call.method) === undefined || sandboxId === undefined) return;
    const subject = subjects.get(sandboxId);
    if (subject === undefined) throw new ServiceError("SANDBOX_NOT_FOUND", "no such sandbox");
    grantSandboxScope(call, subject);
  };
}

/** The reason of a refused call. */
export async function reasonOf(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => "OK",
    (error: unknown) => (error instanceof ServiceError ? error.reason : error),
  );
}

/** Reads a stream by hand: the next message, or the error that ended it. */
export function readerOf<T>(stream: AsyncIterable<T>): { next(): Promise<T>; end(): Promise<void> } {
  const iterator = stream[Symbol.asyncIterator]();
  return {
    async next() {
      const result = await iterator.next();
      if (result.done === true) throw new Error("the stream has ended");
      return result.value;
    },
    async end() {
      await iterator.return?.();
    },
  };
}
