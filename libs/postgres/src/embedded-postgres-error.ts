/** Why the embedded server cannot be had on this machine; programs print it and exit with 2. */
export class EmbeddedPostgresError extends Error {
  override readonly name = "EmbeddedPostgresError";
  readonly exitCode = 2;
}
