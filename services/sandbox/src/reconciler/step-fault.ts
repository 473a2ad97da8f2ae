import { type Reason, ServiceError } from "@sandgate/rpc";
import type { Stage } from "../domain/sandbox-record.ts";
import { DriverRefusal } from "../drivers/sandbox-driver.ts";

/** Refusals that will be the same the next time. */
const lasting: ReadonlySet<Reason> = new Set<Reason>([
  "REQUEST_INVALID",
  "REQUEST_MALFORMED",
  "REQUEST_ID_REUSED",
  "POLICY_INVALID",
  "SANDBOX_NAME_TAKEN",
  "ISOLATION_NOT_AVAILABLE",
  "PEER_NOT_ALLOWED",
  "PRINCIPAL_NOT_ALLOWED",
  "ROLE_TOO_LOW",
]);

/** A part of a step that failed: where, in words for the sandbox's owner, and whether trying again may help. */
export class StepFault extends Error {
  override readonly name = "StepFault";
  readonly stage: Stage;
  /** Plain words, without a secret or a path. */
  readonly fault: string;
  /** Set where something other than the stage's usual command mends it. */
  readonly mend: string | undefined;
  readonly isLasting: boolean;

  constructor(stage: Stage, what: string, cause: unknown) {
    super(what, { cause });
    this.stage = stage;
    this.mend = cause instanceof DriverRefusal ? cause.mend : undefined;
    this.isLasting =
      (cause instanceof DriverRefusal && !cause.mayPass) ||
      (cause instanceof ServiceError && lasting.has(cause.reason));
    this.fault = cause instanceof DriverRefusal || cause instanceof ServiceError ? `${what}: ${cause.message}` : what;
  }
}

/** Runs a part of a step; what it throws becomes a StepFault. */
export async function within<T>(stage: Stage, what: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (cause) {
    throw new StepFault(stage, what, cause);
  }
}
