import { constants } from "node:os";
import { ServiceError } from "@sandgate/rpc";

/** Whether a text names a signal of this system: SIGINT, SIGTERM, … */
export function isSignal(name: string): name is NodeJS.Signals {
  return Object.hasOwn(constants.signals, name);
}

/** The signal of this name. Throws REQUEST_INVALID where there is none. */
export function requireSignal(name: string): NodeJS.Signals {
  if (isSignal(name)) return name;
  throw new ServiceError("REQUEST_INVALID", "there is no such signal", { field: "signal" });
}
