import { create } from "@bufbuild/protobuf";
import {
  type SandboxSubject,
  SandboxSubjectSchema,
  type WatchTrustResponse,
  WatchTrustResponseSchema,
} from "@sandgate/api/auth";
import { Listener, Role } from "@sandgate/api/options";
import { PolicyService } from "@sandgate/api/policy";
import { grantSandboxScope, peerKey, principalKey, type SubjectRegister } from "@sandgate/identity";
import { type Client, createClient, createInProcessChannel, Pipeline, ServiceError, type Step } from "@sandgate/rpc";
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
  readonly module: PolicyModule;
  readonly subjects: Map<string, SandboxSubject>;
  /** Registers a living sandbox. */
  register(): string;
  /** As Auth does: the register first, then the trust stream. */
  retire(sandboxId: string): void;
  /** What the trust stream says. */
  tellTrust(change: WatchTrustResponse["change"]): void;
  /** Another replica on the same database, not started. */
  createReplica(): Omit<PolicyFixture, "createReplica" | "stop">;
  stop(): Promise<void>;
}

/** Starts one; the clock stands where `now` says. */
export async function startPolicyFixture(options: { now?: () => number } = {}): Promise<PolicyFixture> {
  const database = await startPolicyDatabase();
  const subjects = new Map<string, SandboxSubject>();
  const createReplica = () => createPart(database, subjects, options.now ?? Date.now);
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
): Omit<PolicyFixture, "createReplica" | "stop"> {
  const listeners = new Set<(change: WatchTrustResponse) => void>();
  const register: SubjectRegister = {
    findSandbox: async (sandboxId) => subjects.get(sandboxId),
    findSandboxByName: async () => undefined,
    findUser: async () => undefined,
  };
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
    logger: createLogger({ service: "policy", level: "error" }),
    clock,
    newId: () => crypto.randomUUID(),
    decisionRetentionDays: 7,
  });
  const pipeline = new Pipeline({ listener: Listener.MTLS, services: module.services, steps: [admit(subjects)] });
  const tellTrust = (change: WatchTrustResponse["change"]): void => {
    for (const listener of listeners) listener(create(WatchTrustResponseSchema, { sequence: 1n, change }));
  };
  return {
    database,
    module,
    subjects,
    tellTrust,
    policy: createClient(
      PolicyService,
      createInProcessChannel({
        pipeline: () => pipeline,
        peer: "spiffe://sandgate.local/service/sandbox",
        newCallId: () => crypto.randomUUID(),
      }),
    ),
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

/** Stands in for the identity steps: the caller is Alice, who reaches every sandbox in the register by its id. */
function admit(subjects: ReadonlyMap<string, SandboxSubject>): Step {
  return (call) => {
    call.set(peerKey, { kind: "service", service: "sandbox", spiffeId: "spiffe://sandgate.local/service/sandbox" });
    call.set(principalKey, {
      kind: "user",
      userId: "alice",
      organizationId,
      role: Role.OPERATOR,
      spiffeId: userSpiffeId,
      authenticator: "test",
    });
    if (!("sandbox" in call.request) || typeof call.request.sandbox !== "string") return;
    const subject = subjects.get(call.request.sandbox);
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
