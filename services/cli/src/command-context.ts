import type { ClientFile } from "./client-file.ts";
import type { Interruptions } from "./interruptions.ts";
import type { Output } from "./output.ts";
import type { SuiteDirectories } from "./suite/suite-directories.ts";

/** What every command is given. */
export interface CommandContext {
  readonly output: Output;
  /** Where the suite is that the command means. Refuses where there can be none. */
  readonly directories: () => SuiteDirectories;
  /** The state directory that the user named; undefined for the user's usual one. */
  readonly namedDirectory: string | undefined;
  /** How to reach it. Refuses where no suite was started. */
  readonly clientFile: () => ClientFile;
  /** A client file that the user named, so that the suite may be on another machine. */
  readonly namedClientFile: string | undefined;
  readonly environment: CommandEnvironment;
  /** Milliseconds since the process began. */
  readonly elapsed: () => number;
  readonly interruptions: Interruptions;
}

/** What a command learns from its environment. */
export interface CommandEnvironment {
  readonly userId: number;
  readonly home: string | undefined;
  readonly xdgDataHome: string | undefined;
  readonly xdgConfigHome: string | undefined;
  readonly xdgRuntimeDirectory: string | undefined;
  /** DATABASE_URL: a PostgreSQL to use instead of the embedded one. Holds a password. */
  readonly databaseUrl: string | undefined;
  /** Where Node keeps compiled code. */
  readonly compileCache: string | undefined;
}
