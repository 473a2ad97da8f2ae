import { create } from "@bufbuild/protobuf";
import type { SandboxSubject, WatchTrustResponse } from "@sandgate/api/auth";
import {
  CreateBootstrapCredentialResponseSchema,
  EndIncarnationResponseSchema,
  RegisterSandboxResponseSchema,
  RetireSandboxResponseSchema,
  RevocationKind,
  SandboxSubjectSchema,
  WatchTrustResponseSchema,
} from "@sandgate/api/auth";
import { GetPolicyResponseSchema, SetPolicyResponseSchema, WatchEnforcementResponseSchema } from "@sandgate/api/policy";
import { ServiceError } from "@sandgate/rpc";
import type { DriverExit, DriverSandbox, SandboxDriver, SandboxStart } from "./drivers/sandbox-driver.ts";
import type { SandboxModuleDeps } from "./module.ts";

/** One sandbox on the scripted machine. */
interface MachineEntry {
  incarnation: bigint | undefined;
  running: boolean;
  starts: number;
}

/**
 * What lies outside the Sandbox service, and outlives its process: the machine, Auth's register and Policy's store, all in
 * memory. `calls` has every call to it, in order.
 */
export class ScriptedWorld {
  readonly machine = new Map<string, MachineEntry>();
  readonly register = new Map<string, SandboxSubject>();
  readonly policies = new Map<string, { readonly requestId: string; readonly caller: string | undefined }>();
  readonly calls: string[] = [];
  /** How long processes were given to end, at each stop. */
  readonly gracesMs: number[] = [];
  /** What the proxy enforces without being told by a test. */
  enforcesAtOnce = true;
  /** Called before each call; what it throws is thrown to the caller. */
  intercept: (call: string, sandboxId: string) => void = () => {};
  /** Called when a supervisor begins to run. */
  onStart: (start: SandboxStart) => void = () => {};
  readonly #exits = new Set<(exit: DriverExit) => void>();
  readonly #trust = new Set<(change: WatchTrustResponse) => void>();
  readonly #enforcement = new Map<string, bigint>();
  #changed = Promise.withResolvers<void>();

  /** The sandbox's supervisor ends, although nobody stopped it. */
  lose(sandboxId: string): void {
    const entry = this.machine.get(sandboxId);
    if (entry?.incarnation === undefined) throw new Error("there is no such supervisor");
    entry.running = false;
    for (const listener of this.#exits) listener({ sandboxId, incarnation: entry.incarnation, lastWords: "" });
  }

  /** The news comes late that the supervisor of an incarnation has ended. */
  tellEnd(sandboxId: string, incarnation: bigint): void {
    for (const listener of this.#exits) listener({ sandboxId, incarnation, lastWords: "" });
  }

  /** An operator revokes the sandbox at Auth. */
  revoke(sandboxId: string): void {
    const subject = this.register.get(sandboxId);
    if (subject === undefined) throw new Error("there is no such sandbox");
    this.#tell({ ...subject, trusted: false });
  }

  /** An operator revokes a signing key. */
  revokeKey(): void {
    const value = { kind: RevocationKind.SIGNING_KEY, subject: "kid" };
    const change = create(WatchTrustResponseSchema, { change: { case: "revocation", value } });
    for (const listener of this.#trust) listener(change);
  }

  /** The proxy enforces this revision now. */
  enforce(sandboxId: string, revision: bigint): void {
    this.#enforcement.set(sandboxId, revision);
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  readonly driver: SandboxDriver = {
    name: "scripted",
    isolation: async () => ({ guarantees: ["everything"], gaps: [{ name: "cpu", mend: "a real machine" }] }),
    prepare: async (sandboxId) => {
      this.#enter("prepare", sandboxId);
      if (!this.machine.has(sandboxId))
        this.machine.set(sandboxId, { incarnation: undefined, running: false, starts: 0 });
      return { controlDirectory: "", egressDirectory: "" };
    },
    start: async (start) => {
      this.#enter("start", start.sandboxId);
      const entry = this.machine.get(start.sandboxId);
      if (entry === undefined) throw new Error("its directories are missing");
      if (entry.running && entry.incarnation === start.incarnation) return;
      entry.incarnation = start.incarnation;
      entry.running = true;
      entry.starts += 1;
      this.onStart(start);
    },
    stop: async ({ sandboxId, graceMs }) => {
      this.#enter("stop", sandboxId);
      this.gracesMs.push(graceMs);
      const entry = this.machine.get(sandboxId);
      if (entry !== undefined) entry.running = false;
    },
    destroy: async (sandboxId) => {
      this.#enter("destroy", sandboxId);
      this.machine.delete(sandboxId);
    },
    list: async () =>
      [...this.machine].map(
        ([sandboxId, { incarnation, running }]): DriverSandbox => ({
          sandboxId,
          running,
          ...(incarnation !== undefined && { incarnation }),
        }),
      ),
    onExit: (listener) => {
      this.#exits.add(listener);
      return () => this.#exits.delete(listener);
    },
    close: async () => {},
  };

  readonly auth: SandboxModuleDeps["auth"] = {
    registerSandbox: async (request) => {
      const sandboxId = request.sandboxId ?? "";
      this.#enter("register", sandboxId);
      const subject = create(SandboxSubjectSchema, {
        sandboxId,
        name: request.name ?? "",
        organizationId: request.organizationId ?? "",
        ownerUserId: request.ownerUserId ?? "",
        incarnation: request.incarnation ?? 0n,
        alive: true,
        trusted: true,
      });
      const known = this.register.get(sandboxId);
      if (known === undefined) this.register.set(sandboxId, subject);
      else if (!known.alive) throw new ServiceError("SANDBOX_NOT_FOUND", "retired for good");
      else if (known.incarnation > subject.incarnation)
        throw new ServiceError("SANDBOX_CHANGED", "a later incarnation");
      else if (known.incarnation < subject.incarnation) this.#tell(subject);
      return create(RegisterSandboxResponseSchema, { subject });
    },
    retireSandbox: async ({ sandboxId = "" }) => {
      this.#enter("retire", sandboxId);
      const subject = this.register.get(sandboxId);
      if (subject === undefined) throw new ServiceError("SANDBOX_NOT_FOUND", "no such sandbox");
      this.#tell({ ...subject, alive: false });
      return create(RetireSandboxResponseSchema);
    },
    endIncarnation: async ({ sandboxId = "", incarnation = 0n }) => {
      this.#enter("end", sandboxId);
      const subject = this.register.get(sandboxId);
      if (subject !== undefined && subject.incarnation !== incarnation)
        throw new ServiceError("SANDBOX_CHANGED", "another incarnation");
      if (subject === undefined) throw new ServiceError("SANDBOX_NOT_FOUND", "no such sandbox");
      this.#tell({ ...subject, trusted: false });
      return create(EndIncarnationResponseSchema);
    },
    createBootstrapCredential: async ({ sandboxId = "", incarnation = 0n }) => {
      this.#enter("bootstrap", sandboxId);
      const subject = this.register.get(sandboxId);
      if (subject?.incarnation !== incarnation || !subject.trusted)
        throw new ServiceError("SANDBOX_CHANGED", "another incarnation");
      return create(CreateBootstrapCredentialResponseSchema, { token: `bootstrap of ${sandboxId}` });
    },
  };

  readonly policy: SandboxModuleDeps["policy"] = {
    setPolicy: async (request, options) => {
      const sandboxId = request.sandbox ?? "";
      this.#enter("policy", sandboxId);
      this.policies.set(sandboxId, {
        requestId: request.requestId ?? "",
        caller: options?.headers?.["sandgate-caller"],
      });
      if (this.enforcesAtOnce) this.enforce(sandboxId, 1n);
      return create(SetPolicyResponseSchema, { revision: { sandboxId, revision: 1n } });
    },
    getPolicy: async ({ sandbox = "" }) => {
      if (!this.policies.has(sandbox)) throw new ServiceError("POLICY_NOT_FOUND", "no policy");
      return create(GetPolicyResponseSchema, { revision: { sandboxId: sandbox, revision: 1n } });
    },
    watchEnforcement: (_request, options) => this.#watchEnforcement(options?.signal),
    watchPolicies: async function* (_request, options) {
      await new Promise<void>((resolve) => options?.signal?.addEventListener("abort", () => resolve()));
      yield* []; // no policy that it knows of grants anything
    },
  };

  readonly subjects: SandboxModuleDeps["subjects"] = {
    findSandbox: async (sandboxId) => this.register.get(sandboxId),
  };

  readonly trust: SandboxModuleDeps["trust"] = {
    onChange: (listener) => {
      this.#trust.add(listener);
      return () => this.#trust.delete(listener);
    },
  };

  readonly sockets: SandboxModuleDeps["sockets"] = {
    open: async (sandboxId) => this.#enter("open", sandboxId),
    close: async (sandboxId) => this.#enter("close", sandboxId),
  };

  #enter(call: string, sandboxId: string): void {
    this.intercept(call, sandboxId);
    this.calls.push(call);
  }

  #tell(subject: SandboxSubject): void {
    this.register.set(subject.sandboxId, subject);
    const change = create(WatchTrustResponseSchema, { change: { case: "sandbox", value: subject } });
    for (const listener of this.#trust) listener(change);
  }

  async *#watchEnforcement(signal: AbortSignal | undefined) {
    const aborted = new Promise<void>((resolve) => signal?.addEventListener("abort", () => resolve()));
    while (signal?.aborted !== true) {
      const changed = this.#changed.promise;
      yield create(WatchEnforcementResponseSchema, {
        enforcements: [...this.#enforcement].map(([sandboxId, revision]) => ({ sandboxId, revision })),
      });
      await Promise.race([changed, aborted]);
    }
  }
}
