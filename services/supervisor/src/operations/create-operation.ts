import {
  type OpenExec,
  type Process,
  type SignalProcessRequest,
  SignalTarget,
  type StartProcessRequest,
  type WaitProcessRequest,
  type WriteProcessInputRequest,
} from "@sandgate/api/sandbox";
import { ServiceError } from "@sandgate/rpc";
import type { ManagedProcess } from "../process/managed-process.ts";
import type { ProcessTable } from "../process/process-table.ts";
import { requireSignal } from "../process/signal-name.ts";
import { StartFault } from "../process/workload-command.ts";
import type { SignalledProcesses } from "../process/workload-process.ts";
import type { Timers } from "../timers.ts";
import { AttachOperation } from "./attach-operation.ts";
import { AttachPastOperation } from "./attach-past-operation.ts";
import { ExecOperation } from "./exec-operation.ts";
import type { FileOperations } from "./file-operation.ts";
import type { Answer, Operation } from "./operation.ts";
import { PortOperation } from "./port-operation.ts";

/** What operations work with. */
export interface OperationDeps {
  readonly table: ProcessTable;
  readonly files: FileOperations;
  /** The ports that are the supervisor's own. */
  readonly ownPorts: readonly number[];
  readonly egressRequests: () => number;
  readonly timers: Timers;
}

/** What a caller asked for, ready to be carried out. */
export function createOperation(deps: OperationDeps, { start, operation }: OpenExec): Operation {
  const { table } = deps;
  switch (operation.case) {
    case "startProcess":
      return answering(async () => ({
        answer: { case: "startProcess", value: { process: await startProcess(table, operation.value) } },
      }));
    case "attachProcess":
      return attachProcess(table, operation.value.message);
    case "writeProcessInput":
      return answering(async () => ({
        answer: { case: "writeProcessInput", value: { inputOffset: await writeInput(table, operation.value) } },
      }));
    case "signalProcess":
      return answering(async () => ({
        answer: { case: "signalProcess", value: { process: signalProcess(table, operation.value) } },
      }));
    case "waitProcess":
      return waitProcess(deps, operation.value);
    case "listProcesses":
      return answering(async () => ({
        answer: { case: "listProcesses", value: { processes: [...table.list()] } },
      }));
    case "connectPort":
      return new PortOperation({ request: operation.value, ownPorts: deps.ownPorts });
    case "readFile":
    case "writeFile":
    case "listFiles":
    case "readArchive":
    case "writeArchive":
      return deps.files.create(operation) ?? nothing();
    case undefined:
      return start === undefined ? nothing() : new ExecOperation({ ...deps, start });
  }
}

function nothing(): Operation {
  return answering(() => Promise.reject(new ServiceError("REQUEST_INVALID", "there is nothing to do")));
}

/** One answer. */
function answering(answer: () => Promise<Answer>): Operation {
  return {
    async *answers() {
      yield await answer();
    },
  };
}

async function startProcess(table: ProcessTable, request: StartProcessRequest): Promise<Process> {
  try {
    return await table.start(request);
  } catch (cause) {
    if (cause instanceof StartFault) throw new ServiceError("REQUEST_INVALID", cause.message, { field: "start" });
    throw cause;
  }
}

type Attach = Extract<NonNullable<OpenExec["operation"]>, { case: "attachProcess" }>["value"]["message"];

function attachProcess(table: ProcessTable, message: Attach): Operation {
  if (message.case !== "attach")
    return answering(() => Promise.reject(new ServiceError("REQUEST_INVALID", "the first message must be an attach")));
  const { processId } = message.value;
  const offset = Number(message.value.offset);
  const process = table.find(processId);
  if (process !== undefined) return new AttachOperation(process, offset);
  const past = table.findPast(processId);
  if (past !== undefined) return new AttachPastOperation({ process: past, offset, directory: table.directory });
  return answering(() => Promise.reject(notFound()));
}

async function writeInput(table: ProcessTable, { processId, input }: WriteProcessInputRequest): Promise<bigint> {
  const process = requireProcess(table, processId);
  const end = await process.write(Number(input?.offset ?? 0n), input?.data ?? new Uint8Array());
  if (input?.close === true) process.closeInput();
  process.output.touch();
  return BigInt(end);
}

const targets: Readonly<Record<SignalTarget, SignalledProcesses>> = {
  [SignalTarget.UNSPECIFIED]: "group",
  [SignalTarget.PROCESS]: "process",
  [SignalTarget.GROUP]: "group",
  [SignalTarget.TREE]: "tree",
};

function signalProcess(table: ProcessTable, request: SignalProcessRequest): Process {
  const past = table.findPast(request.processId);
  if (past !== undefined) return past;
  const process = requireProcess(table, request.processId);
  const described = process.describe();
  process.signal(requireSignal(request.signal), targets[request.target] ?? "group");
  return described;
}

/** WaitProcess: over when the process has ended, its caller has gone or the time has passed. */
function waitProcess({ table, timers }: OperationDeps, { processId, timeout }: WaitProcessRequest): Operation {
  const over = new AbortController();
  const timeoutMs = Number(timeout?.seconds ?? 0n) * 1_000 + Math.ceil((timeout?.nanos ?? 0) / 1e6);
  const find = async (): Promise<Process> => {
    const past = table.findPast(processId);
    if (past !== undefined) return past;
    const process = requireProcess(table, processId);
    if (timeoutMs > 0) await Promise.race([process.ended, timers.wait(timeoutMs, over.signal)]);
    over.abort();
    return process.describe();
  };
  return {
    ...answering(async () => ({ answer: { case: "waitProcess", value: { process: await find() } } })),
    close: async () => over.abort(),
  };
}

function requireProcess(table: ProcessTable, processId: string): ManagedProcess {
  const process = table.find(processId);
  if (process === undefined) throw notFound();
  return process;
}

function notFound(): ServiceError {
  return new ServiceError("PROCESS_NOT_FOUND", "there is no such process");
}
