/** Addresses that cannot be listened on, one a line, each with the path of its setting. Programs print it and exit with 2. */
export class ListenersError extends Error {
  override readonly name = "ListenersError";
  readonly exitCode = 2;

  constructor(faults: readonly string[]) {
    super(["cannot listen:", ...faults.map((fault) => `  ${fault}`)].join("\n"));
  }
}
