import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import { usageFailure } from "../command-failure.ts";

/** Where a suite on this machine keeps its things. */
export interface SuiteDirectories {
  /** What outlives processes: database, certificates, configuration, logs. */
  readonly state: string;
  /** Sockets. Short, because a Unix socket's path holds 107 bytes. */
  readonly runtime: string;
  readonly pki: string;
  readonly config: string;
  readonly log: string;
  readonly processes: string;
  readonly postgres: string;
  readonly postgresRuntime: string;
  readonly sandboxes: string;
  readonly programs: string;
  /** Ports and choices that stay the same from one `up` to the next. */
  readonly suiteFile: string;
  /** What the command needs to reach the suite. */
  readonly clientFile: string;
  readonly lockFile: string;
}

/** What the place of a suite depends on. */
export interface SuitePlace {
  /** The user's choice, if any: the state directory. */
  readonly directory: string | undefined;
  readonly userId: number;
  readonly home: string | undefined;
  readonly xdgDataHome: string | undefined;
  readonly xdgRuntimeDirectory: string | undefined;
}

/** `<runtime>/control/<sandbox id>/control.sock` and a byte for the terminator must fit into 108 bytes. */
const longestRuntime = 107 - "/control/".length - "sbx-".length - 20 - "/control.sock".length;

/** The directories of the suite that this user means. Refuses a directory that would make socket paths too long to use. */
export function suiteDirectories(place: SuitePlace): SuiteDirectories {
  const state = stateDirectory(place);
  const runtime = runtimeDirectory(place, state);
  return {
    state,
    runtime,
    pki: join(state, "pki"),
    config: join(state, "config"),
    log: join(state, "log"),
    processes: join(state, "processes"),
    postgres: join(state, "postgres"),
    postgresRuntime: join(runtime, "postgres"),
    sandboxes: join(state, "sandboxes"),
    programs: join(state, "programs"),
    suiteFile: join(state, "suite.json"),
    clientFile: join(state, "client.json"),
    lockFile: join(state, "lock"),
  };
}

function stateDirectory(place: SuitePlace): string {
  if (place.directory !== undefined) return resolve(place.directory);
  if (place.userId === 0) return "/var/lib/sandgate";
  if (place.xdgDataHome !== undefined) return join(place.xdgDataHome, "sandgate");
  if (place.home !== undefined) return join(place.home, ".local/share/sandgate");
  throw usageFailure("this user has no home directory", "name a directory with --directory");
}

function runtimeDirectory(place: SuitePlace, state: string): string {
  if (place.directory === undefined && place.userId === 0) return "/run/sandgate";
  if (place.directory !== undefined) {
    const within = join(state, "run");
    if (Buffer.byteLength(within) <= longestRuntime) return within;
  }
  const name = createHash("sha256").update(state).digest("hex").slice(0, 12);
  const base = place.xdgRuntimeDirectory ?? "/tmp";
  const chosen = join(base, `sandgate-${place.userId}-${name}`);
  return Buffer.byteLength(chosen) <= longestRuntime ? chosen : `/tmp/sandgate-${place.userId}-${name}`;
}
