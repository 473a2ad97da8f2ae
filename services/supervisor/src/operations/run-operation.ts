import type { MessageInitShape } from "@bufbuild/protobuf";
import type { OpenExec, RelayExecRequestSchema, SandboxService } from "@sandgate/api/sandbox";
import { type Client, ServiceError } from "@sandgate/rpc";
import type { Logger } from "../logger.ts";
import type { Answer, Operation } from "./operation.ts";

/**
 * Carries out what a caller asked for, and tells him what becomes of it until it ends or he goes away. A fault of ours ends his call, and not the
 * sandbox.
 */
export async function runOperation(options: {
  readonly sandboxId: string;
  readonly open: OpenExec;
  readonly sandbox: Pick<Client<typeof SandboxService>, "relayExec">;
  readonly operation: Operation;
  readonly logger: Logger;
}): Promise<void> {
  const { sandboxId, open, operation, logger } = options;
  const { execId } = open;
  let finished = false;
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= operation.close?.() ?? Promise.resolve();
    return closing;
  };
  /** What was wrong with a later message. */
  let refusal: ServiceError | undefined;
  const refusalOf = (cause: unknown): ServiceError => {
    if (cause instanceof ServiceError) return cause;
    logger.error("a call failed", { exec_id: execId, fault: String(cause) });
    return new ServiceError("INTERNAL", "the supervisor could not go on with the call");
  };

  const answers = async function* (): AsyncGenerator<MessageInitShape<typeof RelayExecRequestSchema>> {
    yield { sandboxId, execId };
    try {
      for await (const answer of operation.answers()) yield { sandboxId, ...answer };
      if (refusal !== undefined) throw refusal;
    } catch (cause) {
      yield { sandboxId, ...faultOf(refusal ?? refusalOf(cause)) };
    }
    finished = true;
  };

  try {
    for await (const message of options.sandbox.relayExec(answers())) {
      if (refusal !== undefined) continue;
      try {
        await operation.receive?.(message);
      } catch (cause) {
        refusal = refusalOf(cause);
        await close();
      }
    }
  } catch (cause) {
    if (!(cause instanceof ServiceError)) throw cause;
    if (!finished) logger.warn("a call lost its caller", { exec_id: execId, reason: cause.reason });
  } finally {
    await close();
  }
}

function faultOf({ reason, message, metadata }: ServiceError): Answer {
  return { answer: { case: "fault", value: { reason, message, metadata: { ...metadata } } } };
}
