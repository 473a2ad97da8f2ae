import { randomUUID } from "node:crypto";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { type Sandbox, SandboxSchema, SandboxService } from "@sandgate/api/sandbox";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-codes.ts";
import { type IdleActionName, toIdleAction } from "../idle-action-name.ts";
import { messageJson } from "../message-json.ts";
import { printSandbox } from "../sandbox-view.ts";
import { parseEnvironmentPairs } from "../session/environment-pairs.ts";
import { parseLabelPairs } from "../session/label-pairs.ts";
import { readRequestedPolicy } from "../session/policy-source.ts";
import { waitUntilReady } from "../session/wait-until-ready.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate create`. */
export interface CreateOptions {
  readonly allow: readonly string[];
  readonly policy?: string;
  readonly provider: readonly string[];
  readonly env: readonly string[];
  readonly label: readonly string[];
  readonly ttl?: number;
  readonly idleTimeout?: number;
  readonly idleAction?: IdleActionName;
  readonly maxProcesses?: number;
  readonly maxOpenFiles?: number;
  readonly maxMemory?: number;
  readonly maxFileSize?: number;
  readonly wait: boolean;
  readonly timeout: number;
}

/** `sandgate create`: creates a sandbox and waits until it is READY. */
export async function createSandbox(
  context: CommandContext,
  name: string | undefined,
  command: readonly string[],
  options: CreateOptions,
): Promise<number> {
  const policy = await readRequestedPolicy({
    allow: options.allow,
    file: options.policy,
    providers: options.provider,
  });
  const connection = new SuiteConnection(context.clientFile());
  const client = connection.client("sandbox", SandboxService);
  const { sandbox } = await client.createSandbox(
    {
      requestId: randomUUID(),
      name: name ?? "",
      labels: parseLabelPairs(options.label),
      spec: {
        command: [...command],
        environment: parseEnvironmentPairs(options.env),
        limits: {
          processes: options.maxProcesses ?? 0,
          openFiles: options.maxOpenFiles ?? 0,
          processMemoryBytes: BigInt(options.maxMemory ?? 0),
          fileSizeBytes: BigInt(options.maxFileSize ?? 0),
        },
        ...(options.ttl !== undefined && { ttl: durationFromMs(options.ttl) }),
        ...(options.idleTimeout !== undefined && { idleTimeout: durationFromMs(options.idleTimeout) }),
        idleAction: toIdleAction(options.idleAction),
      },
      ...(policy === undefined ? {} : { policy }),
    },
    { signal: context.interruptions.signal },
  );
  const created: Sandbox | undefined = sandbox;
  if (created === undefined) throw new Error("the service answered without a sandbox");
  const ready = options.wait
    ? await waitUntilReady({
        client,
        sandbox: created.id,
        output: context.output,
        signal: context.interruptions.signal,
        timeoutMs: options.timeout,
      })
    : created;
  context.output.document(messageJson(SandboxSchema, ready));
  printSandbox(context.output, ready);
  connection.close();
  return exitCodes.ok;
}
