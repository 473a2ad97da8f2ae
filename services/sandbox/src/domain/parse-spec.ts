import type { FieldFault } from "./request-faults.ts";
import type { IdleAction, Limits, SandboxSpec } from "./sandbox-record.ts";

/** The shape of sandgate.sandbox.v1.SandboxSpec that this file reads. */
export interface SpecMessage {
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly limits?:
    | {
        readonly processMemoryBytes: bigint;
        readonly processes: number;
        readonly openFiles: number;
        readonly fileSizeBytes: bigint;
      }
    | undefined;
  readonly ttl?: DurationMessage | undefined;
  readonly idleTimeout?: DurationMessage | undefined;
  readonly idleAction: number;
  readonly image?: string;
}

/** The shape of google.protobuf.Duration. */
export interface DurationMessage {
  readonly seconds: bigint;
  readonly nanos: number;
}

const mebibyte = 1024 * 1024;
const gibibyte = 1024 * mebibyte;

/** What each limit may be, and is when the request says 0. */
const bounds = {
  processMemoryBytes: {
    field: "process_memory_bytes",
    least: 64 * mebibyte,
    most: 1024 * gibibyte,
    normal: 4 * gibibyte,
  },
  processes: { field: "processes", least: 8, most: 32_768, normal: 256 },
  openFiles: { field: "open_files", least: 64, most: 20_000, normal: 4096 },
  fileSizeBytes: { field: "file_size_bytes", least: mebibyte, most: 1024 * gibibyte, normal: gibibyte },
} as const;

const maximumEnvironmentBytes = 32 * 1024;
const maximumCommandBytes = 128 * 1024;
const maximumCommandWords = 1024;
const longestMs = 365 * 24 * 3600 * 1000;
const shortestTtlMs = 1000;
/** Activity is read every 10 seconds. */
const shortestIdleTimeoutMs = 10_000;
const variableName = /^[A-Za-z_][A-Za-z0-9_]*$/;
/** Ours, such as the variables that lead a supervisor to its credential. */
const reservedPrefix = "SANDGATE_";
const maximumVariables = 1000;
const maximumImageCharacters = 512;
/** As engines know images: a name with its registry, if any, and a tag or a digest. Nothing that a path or an option could be made of. */
const imageName = /^[a-z0-9]+(?:[._:/-]+[A-Za-z0-9]+)*(?:@sha256:[0-9a-f]{64})?$/;

const utf8Bytes = (text: string) => new TextEncoder().encode(text).length;

/** What is wrong with a command. `path` is the field's path in the request. */
export function findCommandFaults(command: readonly string[], path: string): FieldFault[] {
  const faults: FieldFault[] = [];
  if (command.length > maximumCommandWords) faults.push({ field: path, fault: "must have at most 1024 words" });
  if (command.reduce((sum, word) => sum + utf8Bytes(word) + 1, 0) > maximumCommandBytes)
    faults.push({ field: path, fault: "must have at most 128 KiB" });
  if (command.some((word) => word.includes("\0")))
    faults.push({ field: path, fault: "must not contain a NUL character" });
  if (command.length > 0 && command[0] === "")
    faults.push({ field: path, fault: "must begin with a word that is not empty" });
  return faults;
}

/** What is wrong with an environment. `path` is the field's path in the request. */
export function findEnvironmentFaults(environment: Readonly<Record<string, string>>, path: string): FieldFault[] {
  const faults: FieldFault[] = [];
  const names = Object.keys(environment);
  if (
    Object.entries(environment).reduce((sum, [name, value]) => sum + utf8Bytes(name) + utf8Bytes(value) + 2, 0) >
    maximumEnvironmentBytes
  )
    faults.push({ field: path, fault: "must have at most 32 KiB" });
  if (names.some((name) => !variableName.test(name)))
    faults.push({ field: path, fault: "names must be letters, digits and underscores, not beginning with a digit" });
  if (names.length > maximumVariables) faults.push({ field: path, fault: "must have at most 1000 names" });
  if (names.some((name) => name.startsWith(reservedPrefix)))
    faults.push({ field: path, fault: "names must not begin with SANDGATE_" });
  if (Object.values(environment).some((value) => value.includes("\0")))
    faults.push({ field: path, fault: "values must not contain a NUL character" });
  return faults;
}

function parseLimits(message: SpecMessage["limits"], faults: FieldFault[]): Limits {
  const limit = (key: keyof typeof bounds): number => {
    const asked = Number(message?.[key] ?? 0);
    const { field, least, most, normal } = bounds[key];
    if (asked === 0) return normal;
    if (asked < least || asked > most)
      faults.push({ field: `spec.limits.${field}`, fault: `must be 0 or between ${least} and ${most}` });
    return asked;
  };
  return {
    processMemoryBytes: limit("processMemoryBytes"),
    processes: limit("processes"),
    openFiles: limit("openFiles"),
    fileSizeBytes: limit("fileSizeBytes"),
  };
}

function parseTime(
  { seconds, nanos }: DurationMessage,
  shortestMs: number,
): { readonly ms: number; readonly fault: string | undefined } {
  if (seconds === 0n && nanos === 0) return { ms: 0, fault: undefined };
  const ms = Number(seconds) * 1000 + Math.ceil(nanos / 1e6);
  const isWithin = seconds >= 0n && nanos >= 0 && nanos <= 999_999_999 && ms >= shortestMs && ms <= longestMs;
  const unit = shortestMs === 1000 ? "second" : "seconds";
  return { ms, fault: isWithin ? undefined : `must be 0 or between ${shortestMs / 1000} ${unit} and 365 days` };
}

/** How long a sandbox is to live, in milliseconds, 0 for ever; undefined where nothing is said. `path` is the field's path in the request. */
export function parseTtl(ttl: DurationMessage | undefined, path: string, faults: FieldFault[]): number | undefined {
  if (ttl === undefined) return undefined;
  const { ms, fault } = parseTime(ttl, shortestTtlMs);
  if (fault !== undefined) faults.push({ field: path, fault });
  return ms;
}

/** How long a sandbox may be idle, in milliseconds, 0 for ever; undefined where nothing is said. */
export function parseIdleTimeout(
  timeout: DurationMessage | undefined,
  path: string,
  faults: FieldFault[],
): number | undefined {
  if (timeout === undefined) return undefined;
  const { ms, fault } = parseTime(timeout, shortestIdleTimeoutMs);
  if (fault !== undefined) faults.push({ field: path, fault });
  return ms;
}

/** The values of sandgate.sandbox.v1.IdleAction. */
const idleActions: readonly (IdleAction | undefined)[] = [undefined, "STOP", "DELETE"];

/** What is to become of a sandbox that was idle for too long; undefined where nothing is said. */
export function parseIdleAction(action: number, path: string, faults: FieldFault[]): IdleAction | undefined {
  if (!(action in idleActions)) faults.push({ field: path, fault: "must be STOP or DELETE" });
  return idleActions[action];
}

function parseImage(image: string, faults: FieldFault[]): string | undefined {
  if (image === "") return undefined;
  if (image.length > maximumImageCharacters || image.includes("..") || !imageName.test(image))
    faults.push({ field: "spec.image", fault: "must be the name of an image" });
  return image;
}

/** Reads a request's spec. With no fault, the spec is complete: defaults are filled in. */
export function parseSpec(message: SpecMessage | undefined): {
  readonly spec: SandboxSpec;
  readonly faults: readonly FieldFault[];
} {
  const command = message?.command ?? [];
  const environment = message?.environment ?? {};
  const faults = [
    ...findCommandFaults(command, "spec.command"),
    ...findEnvironmentFaults(environment, "spec.environment"),
  ];
  const limits = parseLimits(message?.limits, faults);
  const ttlMs = parseTtl(message?.ttl, "spec.ttl", faults);
  const idleTimeoutMs = parseIdleTimeout(message?.idleTimeout, "spec.idle_timeout", faults);
  const idleAction = parseIdleAction(message?.idleAction ?? 0, "spec.idle_action", faults) ?? "STOP";
  const image = parseImage(message?.image ?? "", faults);
  return {
    spec: {
      command: [...command],
      environment: { ...environment },
      limits,
      ttlMs: ttlMs === 0 ? undefined : ttlMs,
      idleTimeoutMs: idleTimeoutMs === 0 ? undefined : idleTimeoutMs,
      idleAction,
      ...(image !== undefined && { image }),
    },
    faults,
  };
}
