export {
  type AdminServer,
  AdminServerError,
  type AdminServerOptions,
  type Checks,
  startAdminServer,
} from "./admin-server.ts";
export { background } from "./background.ts";
export { createLogger, type Logger, type LogLevel } from "./logger.ts";
export { createMetrics } from "./metrics.ts";
export { type ProgramOptions, type RunningProgram, runProgram } from "./run-program.ts";
