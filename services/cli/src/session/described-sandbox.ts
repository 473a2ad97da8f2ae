import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { type IdleActionName, toIdleAction } from "../idle-action-name.ts";
import { parseEnvironmentPairs } from "./environment-pairs.ts";
import { parseLabelPairs } from "./label-pairs.ts";
import { readRequestedPolicy } from "./policy-source.ts";

/** Options that say what a sandbox, or what is made from a template, is to be. */
export interface DescribedSandboxOptions {
  readonly allow: readonly string[];
  readonly policy?: string;
  readonly provider: readonly string[];
  readonly env: readonly string[];
  readonly image?: string;
  readonly label: readonly string[];
  readonly ttl?: number;
  readonly idleTimeout?: number;
  readonly idleAction?: IdleActionName;
  readonly maxProcesses?: number;
  readonly maxOpenFiles?: number;
  readonly maxMemory?: number;
  readonly maxFileSize?: number;
}

/** Spec, labels and policy that the options ask for. What they do not name is unset. */
export async function readDescribedSandbox(options: DescribedSandboxOptions, command: readonly string[]) {
  const { allow, provider: providers } = options;
  const policy = await readRequestedPolicy({ allow, file: options.policy, providers });
  return {
    labels: parseLabelPairs(options.label),
    spec: {
      command: [...command],
      environment: parseEnvironmentPairs(options.env),
      image: options.image ?? "",
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
    ...(policy !== undefined && { policy }),
  };
}
