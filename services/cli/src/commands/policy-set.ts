import { randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type Enforcement,
  EnforcementSchema,
  PolicyRevisionSchema,
  type PolicySchema,
  PolicyService,
} from "@sandgate/api/policy";
import { type Client, ServiceError } from "@sandgate/rpc";
import type { CommandContext } from "../command-context.ts";
import { CommandFailure, usageFailure } from "../command-failure.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { formatDuration } from "../quantities.ts";
import { readRequestedPolicy } from "../session/policy-source.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** How a revision is stored. */
export interface StorePolicyOptions {
  /** 0: whichever is the newest. */
  readonly expectRevision: number;
  readonly wait?: boolean;
  readonly timeout: number;
}

/** Options of `sandgate policy set`. */
export interface SetPolicyOptions extends StorePolicyOptions {
  readonly allow: readonly string[];
}

/** `sandgate policy set`: stores a new revision and, with `--wait`, says when the proxy enforces it. */
export async function setPolicy(
  context: CommandContext,
  sandbox: string,
  file: string | undefined,
  options: SetPolicyOptions,
): Promise<number> {
  const policy = await readRequestedPolicy({ allow: options.allow, file });
  if (policy === undefined) throw usageFailure("there is no policy to set", "name a file, or hosts with --allow");
  return storePolicy(context, sandbox, policy, options);
}

/** Stores a policy as the next revision, and says so. */
export async function storePolicy(
  context: CommandContext,
  sandbox: string,
  policy: MessageInitShape<typeof PolicySchema>,
  options: StorePolicyOptions,
): Promise<number> {
  const { output } = context;
  const { signal } = context.interruptions;
  const connection = new SuiteConnection(context.clientFile());
  const client = connection.client("policy", PolicyService);
  const watch = options.wait === true ? await PolicyWatch.open(client, sandbox, signal, options.timeout) : undefined;
  const askedAt = performance.now();
  const { revision } = await client.setPolicy(
    { sandbox, policy, expectedRevision: BigInt(options.expectRevision), requestId: randomUUID() },
    { signal },
  );
  const storedMs = performance.now() - askedAt;
  if (revision === undefined) throw new Error("the service answered without a revision");
  const enforcement = await watch?.untilEnforced(revision.revision);
  const enforcedMs = performance.now() - askedAt;
  connection.close();

  output.document({
    revision: messageJson(PolicyRevisionSchema, revision),
    storedMs,
    ...(enforcement === undefined ? {} : { enforcement: messageJson(EnforcementSchema, enforcement), enforcedMs }),
  });
  const stored = `revision ${revision.revision} of ${escapeLine(sandbox)} stored in ${formatDuration(storedMs)}`;
  output.line(enforcement === undefined ? stored : `${stored}, enforced after ${formatDuration(enforcedMs)}`);
  return exitCodes.ok;
}

/** Watches a policy from before it is changed, so that no enforcement is missed. */
class PolicyWatch {
  readonly #changes: AsyncIterator<{ enforcement?: Enforcement | undefined }>;
  readonly #timeoutMs: number;
  #last: Enforcement | undefined;

  private constructor(changes: AsyncIterator<{ enforcement?: Enforcement | undefined }>, timeoutMs: number) {
    this.#changes = changes;
    this.#timeoutMs = timeoutMs;
  }

  /** Opens the watch; resolves when the present state has come. */
  static async open(
    client: Client<typeof PolicyService>,
    sandbox: string,
    signal: AbortSignal,
    timeoutMs: number,
  ): Promise<PolicyWatch> {
    const watch = new PolicyWatch(
      client.watchPolicy({ sandbox }, { signal, timeoutMs })[Symbol.asyncIterator](),
      timeoutMs,
    );
    await watch.#advance();
    return watch;
  }

  /** Resolves when the revision, or a later one, is enforced. Refuses when the proxy cannot, or not in time. */
  async untilEnforced(revision: bigint): Promise<Enforcement> {
    for (;;) {
      const enforcement = this.#last;
      if (enforcement !== undefined && enforcement.revision >= revision) return enforcement;
      if (enforcement !== undefined && enforcement.fault !== "")
        throw new CommandFailure({
          message: `revision ${revision} cannot be enforced: ${escapeLine(enforcement.fault)}`,
          mend: "the policy before it stays in force; set another",
          exitCode: exitCodes.failed,
        });
      if (!(await this.#advance())) throw this.#notInTime(revision);
    }
  }

  async #advance(): Promise<boolean> {
    try {
      const next = await this.#changes.next();
      if (next.done === true) return false;
      this.#last = next.value.enforcement ?? this.#last;
      return true;
    } catch (error) {
      if (error instanceof ServiceError && error.reason === "DEADLINE_EXCEEDED") return false;
      throw error;
    }
  }

  #notInTime(revision: bigint): CommandFailure {
    return new CommandFailure({
      message: `revision ${revision} is stored, but was not enforced within ${formatDuration(this.#timeoutMs)}`,
      mend: "`sandgate status` shows whether the egress proxy is ready",
      exitCode: exitCodes.notReady,
    });
  }
}
