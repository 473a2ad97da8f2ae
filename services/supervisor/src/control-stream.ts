import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import {
  type ConnectSupervisorRequestSchema,
  type ConnectSupervisorResponse,
  type OpenExec,
  type SandboxService,
  type SandboxSpec,
  SandboxSpecSchema,
  type WorkloadGrants,
} from "@sandgate/api/sandbox";
import { type Client, ServiceError } from "@sandgate/rpc";
import { AsyncQueue } from "./async-queue.ts";
import { createBackoff } from "./backoff.ts";
import type { ConfinementFinding } from "./confinement/confinement-finding.ts";
import type { Logger } from "./logger.ts";
import type { Timers } from "./timers.ts";

/** What a control stream needs. */
export interface ControlStreamOptions {
  readonly sandboxId: string;
  readonly incarnation: bigint;
  readonly version: string;
  readonly sandbox: Client<typeof SandboxService>;
  /** What the start-up probe found, when it has. */
  readonly confinement: Promise<readonly ConfinementFinding[]>;
  /** For how many milliseconds nothing has happened in the sandbox. */
  readonly idleMs: () => number;
  readonly onExec: (open: OpenExec) => void;
  readonly onStartMain: (spec: SandboxSpec) => void;
  readonly onWorkloadGrants: (grants: WorkloadGrants) => void;
  /** The session may not be taken any more. */
  readonly onCheckSession: () => void;
  readonly timers: Timers;
  readonly random: () => number;
  readonly logger: Logger;
}

/** Holds the stream to the control plane, and opens it anew whenever it ends, until the signal aborts. */
export async function holdControlStream(options: ControlStreamOptions, signal: AbortSignal): Promise<void> {
  const { timers, logger } = options;
  const backoff = createBackoff({ firstMs: 50, maxMs: 5_000, random: options.random });
  while (!signal.aborted) {
    try {
      await holdOnce(options, signal, () => backoff.reset());
    } catch (cause) {
      if (!(cause instanceof ServiceError)) throw cause;
      if (!signal.aborted) logger.warn("the control stream ended", { reason: cause.reason });
    }
    if (!signal.aborted) await timers.wait(backoff.next(), signal);
  }
}

async function holdOnce(options: ControlStreamOptions, signal: AbortSignal, onContact: () => void): Promise<void> {
  const { sandboxId, incarnation, version } = options;
  const requests = new AsyncQueue<MessageInitShape<typeof ConnectSupervisorRequestSchema>>();
  requests.push({ sandboxId, message: { case: "hello", value: { incarnation, version, idle: idleOf(options) } } });
  void options.confinement.then(
    (checks) => requests.push({ sandboxId, message: { case: "confinement", value: { checks: [...checks] } } }),
    () => {}, // the supervisor ends by it elsewhere
  );
  try {
    for await (const { command } of options.sandbox.connectSupervisor(requests, { signal })) {
      onContact();
      obey(options, command, () =>
        requests.push({ sandboxId, message: { case: "pong", value: { idle: idleOf(options) } } }),
      );
    }
  } finally {
    requests.end();
  }
}

function idleOf({ idleMs }: ControlStreamOptions) {
  return durationFromMs(idleMs());
}

function obey(options: ControlStreamOptions, command: ConnectSupervisorResponse["command"], pong: () => void): void {
  switch (command.case) {
    case "openExec":
      options.onExec(command.value);
      return;
    case "startMain":
      options.onStartMain(command.value.spec ?? create(SandboxSpecSchema));
      return;
    case "workloadGrants":
      options.onWorkloadGrants(command.value);
      return;
    case "checkSession":
      options.onCheckSession();
      return;
    case "ping":
      pong();
      return;
    case undefined:
      return;
  }
}
