import type { MessageInitShape } from "@bufbuild/protobuf";
import type { RelayExecRequestSchema, RelayExecResponse } from "@sandgate/api/sandbox";

/** A message to the caller. */
export type Answer = Omit<MessageInitShape<typeof RelayExecRequestSchema>, "$typeName" | "sandboxId" | "execId">;

/** A call about what happens inside the sandbox. */
export interface Operation {
  /** What the caller is told, up to the operation's end. Throws ServiceError to refuse. */
  answers(): AsyncIterable<Answer>;
  /** What the caller says after his first message. Throws ServiceError to end the operation. */
  receive?(message: RelayExecResponse): Promise<void>;
  /** The operation has ended, or its caller has gone. */
  close?(): Promise<void>;
}
