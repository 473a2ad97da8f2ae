import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type ConnectSupervisorRequestSchema,
  type ConnectSupervisorResponse,
  ExitReason,
  type OpenExec,
  type RelayExecRequestSchema,
  SandboxService,
} from "@sandgate/api/sandbox";
import { type Channel, createClient } from "@sandgate/rpc";
import type { TestSandbox } from "../suite/test-sandbox.ts";

/** The supervisor of a sandbox, as far as the control plane sees it: connected, confined, answering every call. */
export interface TestSupervisor {
  /** Resolves with the id of the next exec that is asked for, which is then left to the test. */
  holdNextExec(): Promise<string>;
  stop(): Promise<void>;
}

/** Connects, proves confinement, and stays connected when another stream takes its place. */
export function startTestSupervisor(sandbox: TestSandbox, channel: Channel): TestSupervisor {
  const client = createClient(SandboxService, channel);
  const headers = { authorization: `Bearer ${sandbox.token}` };
  const stop = new AbortController();
  let hold: ((execId: string) => void) | undefined;

  const answer = async ({ execId, operation }: OpenExec): Promise<void> => {
    const requests = (async function* () {
      yield { sandboxId: sandbox.id, execId, ...answerTo(operation) };
    })();
    for await (const _input of client.relayExec(requests, { headers, signal: stop.signal }));
  };
  const obey = (command: ConnectSupervisorResponse["command"]): void => {
    if (command.case !== "openExec") return;
    if (hold !== undefined) hold(command.value.execId);
    else void answer(command.value).catch(() => undefined); // the caller of the exec sees what went wrong
    hold = undefined;
  };
  const run = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      const requests = (async function* (): AsyncGenerator<MessageInitShape<typeof ConnectSupervisorRequestSchema>> {
        yield {
          sandboxId: sandbox.id,
          message: { case: "hello", value: { incarnation: sandbox.incarnation, version: "test" } },
        };
        yield {
          sandboxId: sandbox.id,
          message: { case: "confinement", value: { checks: [{ name: "network", confined: true }] } },
        };
        await new Promise<void>((resolve) => stop.signal.addEventListener("abort", () => resolve(), { once: true }));
      })();
      try {
        for await (const { command } of client.connectSupervisor(requests, { headers, signal: stop.signal }))
          obey(command);
      } catch {
        // replaced or ended: connect anew, as a supervisor does
      }
    }
  };
  const running = run();
  return {
    holdNextExec: () =>
      new Promise((resolve) => {
        hold = resolve;
      }),
    stop: async () => {
      stop.abort();
      await running;
    },
  };
}

/** What it says to a call, whatever it is about. */
function answerTo({ case: kind }: OpenExec["operation"]): MessageInitShape<typeof RelayExecRequestSchema> {
  switch (kind) {
    case undefined:
      return { output: { output: { case: "exit", value: { reason: ExitReason.EXITED, code: 0 } } } };
    case "attachProcess":
      return { answer: { case: kind, value: { event: { case: "end", value: {} } } } };
    case "readFile":
      return { answer: { case: kind, value: { part: { case: "end", value: 0n } } } };
    case "readArchive":
      return { answer: { case: kind, value: { part: { case: "end", value: {} } } } };
    case "connectPort":
      return { answer: { case: kind, value: { event: { case: "closed", value: {} } } } };
    default:
      return { answer: { case: kind, value: {} } };
  }
}
