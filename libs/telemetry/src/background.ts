/** Lets a promise run on its own; a rejection is logged, never lost. `what` says in plain words what was being done. */
export function background(
  promise: Promise<unknown>,
  logger: { error(fields: object, message: string): void },
  what = "background work failed",
): void {
  promise.catch((error: unknown) => logger.error({ err: error }, what));
}
