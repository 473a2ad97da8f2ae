/** The address cannot be listened on: it is taken, or not this machine's. */
export class ListenError extends Error {
  override readonly name = "ListenError";
  /** The operator's matter, not a fault of the program. */
  readonly exitCode = 2;

  constructor(address: string, cause: Error) {
    super(`cannot listen on ${address}: ${describeListenFault(cause)}`, { cause });
  }
}

/** grpc-js gives the system's error code within its own words only. */
function describeListenFault({ message }: Error): string {
  const [code] = /\bE[A-Z]{3,}\b/.exec(message) ?? [];
  switch (code) {
    case "EADDRINUSE":
      return "it is in use";
    case "EADDRNOTAVAIL":
      return "it is not an address of this machine";
    case "EACCES":
      return "this user may not use it";
    default:
      return code ?? message;
  }
}
