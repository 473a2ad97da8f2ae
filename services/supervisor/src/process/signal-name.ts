import { constants } from "node:os";

/** Whether a text names a signal of this system: SIGINT, SIGTERM, … */
export function isSignal(name: string): name is NodeJS.Signals {
  return Object.hasOwn(constants.signals, name);
}
