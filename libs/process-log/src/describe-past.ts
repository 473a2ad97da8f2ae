import { create } from "@bufbuild/protobuf";
import { ExitReason, type Process, ProcessEndSchema, ProcessSchema } from "@sandgate/api/sandbox";
import { KeptOutput } from "./kept-output.ts";

/** A process of a supervisor that is gone: with its output as the files have it, and lost where no end was written down. */
export function describePast(directory: string, process: Process): Process {
  const output = KeptOutput.open(directory, process.processId);
  try {
    return create(ProcessSchema, {
      ...process,
      attached: 0,
      outputOffset: BigInt(output.start),
      outputEndOffset: BigInt(output.end),
      end: process.end ?? create(ProcessEndSchema, { exit: { reason: ExitReason.SUPERVISOR_LOST } }),
    });
  } finally {
    output.close();
  }
}
