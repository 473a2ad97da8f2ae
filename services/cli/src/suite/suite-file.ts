import { randomUUID } from "node:crypto";
import type { ProgramName } from "./programs.ts";
import { readJsonFile, writeWhole } from "./whole-file.ts";

/** How the control plane is divided into processes. */
export type Topology = "all-in-one" | "separate";

/** What stays the same from one `up` to the next. */
export interface SuiteFile {
  readonly version: 1;
  readonly trustDomain: string;
  readonly organizationId: string;
  /** The user that the operator's certificate stands for. */
  readonly operatorUserId: string;
  /** Of the last `up`. */
  readonly topology: Topology;
  /** What sandboxes run on; absent: local. */
  readonly driver?: SuiteDriver;
  /** Loopback ports, by "<program>.<listener>". */
  readonly ports: Readonly<Record<string, number>>;
}

/** What a suite's sandboxes run on. */
export type SuiteDriver =
  | { readonly kind: "local" }
  | {
      readonly kind: "docker";
      readonly image: string;
      readonly allowedImages: readonly string[];
      readonly socket?: string;
      readonly minIsolation?: "container" | "gvisor";
      readonly memoryBytes?: number;
      readonly cpus?: number;
      readonly workspaceBytes?: number;
    };

/** Reads the file; undefined where there is none. */
export function findSuiteFile(path: string): SuiteFile | undefined {
  const value = readJsonFile(path);
  if (typeof value !== "object" || value === null || !("version" in value) || value.version !== 1) return undefined;
  return value as SuiteFile; // written by `writeSuiteFile` alone, whole or not at all
}

/** A suite that was never started before. */
export function newSuiteFile(topology: Topology): SuiteFile {
  return {
    version: 1,
    trustDomain: "sandgate.local",
    organizationId: randomUUID(),
    operatorUserId: randomUUID(),
    topology,
    ports: {},
  };
}

/** Keeps it. */
export function writeSuiteFile(path: string, file: SuiteFile): void {
  writeWhole(path, `${JSON.stringify(file, null, 2)}\n`, 0o600);
}

/** The programs of a topology; the proxy is a process of its own in each, the web front where the services are. */
export function programsOf(topology: Topology): readonly ProgramName[] {
  return topology === "all-in-one"
    ? ["all-in-one", "egress-proxy"]
    : ["auth", "policy", "sandbox", "egress-proxy", "gateway"];
}

/** The program of a topology that has the web front. */
export function webProgramOf(topology: Topology): ProgramName {
  return topology === "all-in-one" ? "all-in-one" : "gateway";
}

/** The port of a program's listener. */
export function portOf(suite: SuiteFile, name: ProgramName, listener: string): number {
  const port = suite.ports[`${name}.${listener}`];
  if (port === undefined) throw new Error(`no port was chosen for ${name}.${listener}`);
  return port;
}
