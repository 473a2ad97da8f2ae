/** One line of JSON for each event, on standard error, where the driver keeps it. Never with workload output or secrets. */
export interface Logger {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** Ids, counts and reasons; nothing that a workload chose. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** Makes the supervisor's logger. */
export function createLogger(options: { write: (line: string) => void; clock: () => number }): Logger {
  const at =
    (level: string) =>
    (message: string, fields: LogFields = {}): void =>
      options.write(
        `${JSON.stringify({ level, time: new Date(options.clock()).toISOString(), message, ...fields })}\n`,
      );
  return { info: at("info"), warn: at("warn"), error: at("error") };
}
