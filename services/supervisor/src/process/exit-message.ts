import type { MessageInitShape } from "@bufbuild/protobuf";
import { ExitReason, type ProcessExitSchema } from "@sandgate/api/sandbox";
import type { WorkloadExit } from "./workload-process.ts";

/** A process's end as the control plane is told it. A command that never ran has the status that shells give it. */
export function exitMessage(exit: WorkloadExit): MessageInitShape<typeof ProcessExitSchema> {
  switch (exit.kind) {
    case "exited":
      return { reason: ExitReason.EXITED, code: exit.code };
    case "signalled":
      return {
        reason: exit.outOfMemory === true ? ExitReason.OUT_OF_MEMORY : ExitReason.SIGNALLED,
        signal: exit.signal,
      };
    case "not-started":
      return { reason: ExitReason.EXITED, code: 126 };
  }
}
