import pino from "pino";

/** Writes JSON lines. Nothing from a caller goes into one unless it is an id. */
export type Logger = pino.Logger;

/** A severity that can be configured. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/**
 * Makes a program's logger: JSON lines with time (RFC 3339), level and service. Of an error (under the key `err`) it writes the
 * type, message, stack, code, reason and causes only: other fields of an error can carry what a caller sent.
 */
export function createLogger(options: {
  readonly service: string;
  readonly level: LogLevel;
  /** Default: standard output. */
  readonly destination?: { write(line: string): void };
}): Logger {
  const settings: pino.LoggerOptions = {
    level: options.level,
    base: { service: options.service },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { err: describeError },
  };
  // written at once and in order: the last lines before a death are the ones that matter
  return pino(settings, options.destination ?? pino.destination({ dest: 1, sync: true }));
}

/** The fields of an error that may be logged. */
function describeError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return { type: typeof error };
  return {
    type: error.name,
    message: error.message,
    ...("code" in error && isPlain(error.code) ? { code: error.code } : {}),
    ...("reason" in error && isPlain(error.reason) ? { reason: error.reason } : {}),
    stack: error.stack,
    ...(error.cause === undefined || depth >= 4 ? {} : { cause: describeError(error.cause, depth + 1) }),
  };
}

function isPlain(value: unknown): value is string | number {
  return typeof value === "string" || typeof value === "number";
}
