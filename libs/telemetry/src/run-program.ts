import { writeSync } from "node:fs";
import { type AdminServer, type AdminServerOptions, type Checks, startAdminServer } from "./admin-server.ts";
import { createLogger, type Logger } from "./logger.ts";

/** A program that has started. */
export interface RunningProgram {
  /** Ends everything gracefully; rejections are logged and make the exit code 1. */
  stop(): Promise<void>;
  /** Readiness checks for the admin listener. */
  readonly checks: Checks;
  /** Where the program logs; default: a logger of its own. */
  readonly logger?: Logger;
  /** If given, the admin listener is started with the checks, and stopped last. */
  readonly admin?: Pick<AdminServerOptions, "port" | "registry" | "certificates" | "documents">;
}

/** What `runProgram` needs to know. */
export interface ProgramOptions {
  readonly name: string;
  /** Starts the program. The signal aborts when the program is told to stop before it has started. */
  start(signal: AbortSignal): Promise<RunningProgram>;
  /** How long a graceful stop may take. Default 15,000. */
  readonly stopTimeoutMs?: number;
}

/**
 * Runs a program until SIGTERM or SIGINT, then stops it and exits with 0; a second signal exits at once with 128 + its number.
 * If `start` throws an error with an `exitCode`, its message alone is printed on standard error and the program exits with that
 * code; any other error, an uncaught exception or an unhandled rejection is logged and the program exits with 1.
 */
export function runProgram(options: ProgramOptions): void {
  let logger = createLogger({ service: options.name, level: "info" });
  const starting = new AbortController();
  let signalled = false;
  let started = false;
  let running: RunningProgram | undefined;
  let admin: AdminServer | undefined;

  const die = (error: unknown, what: string): never => {
    logger.fatal({ err: error }, what);
    return process.exit(1);
  };
  process.on("uncaughtException", (error) => die(error, "uncaught exception"));
  process.on("unhandledRejection", (error) => die(error, "unhandled rejection"));

  const stop = async (): Promise<void> => {
    const timer = setTimeout(() => die(new Error("stop timed out"), "stop failed"), options.stopTimeoutMs ?? 15_000);
    try {
      await running?.stop();
      await admin?.stop();
    } catch (error) {
      die(error, "stop failed");
    }
    clearTimeout(timer);
    logger.info("stopped");
    process.exit(0);
  };

  for (const [signal, number] of [
    ["SIGTERM", 15],
    ["SIGINT", 2],
  ] as const)
    process.on(signal, () => {
      if (signalled) process.exit(128 + number);
      signalled = true;
      logger.info({ signal }, "stopping");
      if (started) void stop();
      else starting.abort();
    });

  const begin = async (): Promise<void> => {
    try {
      running = await options.start(starting.signal);
      logger = running.logger ?? logger;
      if (running.admin !== undefined)
        admin = await startAdminServer({ ...running.admin, checks: running.checks, logger });
    } catch (error) {
      if (signalled) process.exit(0);
      if (hasExitCode(error)) {
        writeSync(2, `${options.name}: ${error.message}\n`);
        await running?.stop().catch((cause: unknown) => logger.error({ err: cause }, "stop failed"));
        process.exit(error.exitCode);
      }
      die(error, "start failed");
    }
    started = true;
    if (signalled) return stop();
    logger.info(admin === undefined ? {} : { admin_port: admin.port }, "started");
  };
  void begin();
}

function hasExitCode(error: unknown): error is Error & { readonly exitCode: number } {
  return error instanceof Error && "exitCode" in error && Number.isInteger(error.exitCode);
}
