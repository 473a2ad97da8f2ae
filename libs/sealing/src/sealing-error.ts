/** A key file that cannot be used, or something that its keys do not open. A program that cannot start without it exits with 2. */
export class SealingError extends Error {
  override readonly name = "SealingError";
  readonly exitCode = 2;
}
