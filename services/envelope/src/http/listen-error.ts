/** The address cannot be listened on. Programs print it and exit with 2. */
export class ListenError extends Error {
  override readonly name = "ListenError";
  readonly exitCode = 2;

  constructor(address: string, cause: NodeJS.ErrnoException) {
    super(
      `cannot listen on ${address}: ${cause.code === "EADDRINUSE" ? "it is in use" : (cause.code ?? "unknown error")}`,
      {
        cause,
      },
    );
  }
}
