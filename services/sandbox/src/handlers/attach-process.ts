import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type AttachProcessRequest,
  type AttachProcessResponseSchema,
  type AttachStart,
  OutputStream,
  type SandboxService,
} from "@sandgate/api/sandbox";
import { sandboxScopeOf } from "@sandgate/identity";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { findTerminalFaults } from "../domain/exec-faults.ts";
import { findInputFaults, findProcessIdFaults, findSignalFaults } from "../domain/process-faults.ts";
import type { FieldFault } from "../domain/request-faults.ts";
import type { PastProcesses } from "./past-processes.ts";
import { findSession, type RelayDeps, relayCall } from "./relay-call.ts";
import { requireNoFaults } from "./require-no-faults.ts";

const pieceBytes = 128 * 1024;

/**
 * SandboxService.AttachProcess: a process's output from an offset on, then its end. Fails with SUPERVISOR_LOST or UNAVAILABLE when it is cut
 * off: the caller goes on where it was. In a sandbox that is over it answers what was kept.
 */
export function attachProcess(
  deps: RelayDeps & { readonly past: PastProcesses },
): Handler<typeof SandboxService.method.attachProcess> {
  return async function* (requests, call) {
    const incoming = requests[Symbol.asyncIterator]();
    const first = await incoming.next();
    const attach = requireAttach(first);
    const scope = sandboxScopeOf(call);
    const session = await findSession(deps, scope, call.signal);
    if (session === undefined) {
      yield* readPast(deps.past, scope.sandboxId, attach);
      return;
    }
    const operation = { case: "attachProcess", value: { message: { case: "attach", value: attach } } } as const;
    const answers = relayCall<AttachProcessRequest>(
      deps,
      call,
      session,
      { operation },
      {
        inputs: {
          incoming,
          convert: (message) => ({ message: { case: "attachProcess", value: requireLater(message) } }),
        },
        isLast: ({ answer }) => answer.case !== "attachProcess" || answer.value.event.case === "end",
      },
    );
    for await (const { answer } of answers) if (answer.case === "attachProcess") yield answer.value;
  };
}

function requireAttach(first: IteratorResult<AttachProcessRequest>): AttachStart {
  if (first.done === true || first.value.message.case !== "attach")
    throw new ServiceError("REQUEST_INVALID", "the first message must be an attach", { field: "attach" });
  const attach = first.value.message.value;
  requireNoFaults([
    ...findProcessIdFaults(attach.processId, "attach.process_id"),
    ...(attach.offset < 0n ? [{ field: "attach.offset", fault: "must not be negative" }] : []),
  ]);
  return attach;
}

function requireLater(request: AttachProcessRequest): AttachProcessRequest {
  requireNoFaults(findLaterFaults(request));
  return request;
}

function findLaterFaults({ message }: AttachProcessRequest): readonly FieldFault[] {
  switch (message.case) {
    case "input":
      return findInputFaults(message.value, "input");
    case "acknowledgedOffset":
      return message.value < 0n ? [{ field: "acknowledged_offset", fault: "must not be negative" }] : [];
    case "signal":
      return findSignalFaults(message.value);
    case "resize":
      return findTerminalFaults(message.value, "resize");
    case "attach":
    case undefined:
      return [{ field: "attach", fault: "must be the first message, and only that" }];
  }
}

function* readPast(
  past: PastProcesses,
  sandboxId: string,
  { processId, offset }: AttachStart,
): Generator<MessageInitShape<typeof AttachProcessResponseSchema>> {
  const process = past.get(sandboxId, processId);
  yield { event: { case: "process", value: process } };
  const output = past.open(sandboxId, processId);
  try {
    const reader = output.read(Number(offset));
    for (let piece = reader.next(pieceBytes); piece !== undefined; piece = reader.next(pieceBytes)) {
      const stream = piece.from === "stdout" ? OutputStream.STDOUT : OutputStream.STDERR;
      yield { event: { case: "output", value: { offset: BigInt(piece.offset), stream, data: piece.data } } };
    }
  } finally {
    output.close();
  }
  yield { event: { case: "end", value: process.end ?? {} } };
}
