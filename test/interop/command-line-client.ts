/** A listener, and who calls it. */
export interface Caller {
  /** host:port */
  readonly address: string;
  readonly serviceCaFile: string;
  readonly certificate?: { readonly certificateFile: string; readonly keyFile: string };
  readonly token?: string;
}

/** How a call ended: with a message, or with an error and the ErrorInfo in it. */
export type CallAnswer =
  | { readonly message: Record<string, unknown> }
  | {
      readonly error: {
        readonly message: string;
        readonly reason: unknown;
        readonly domain: unknown;
        readonly metadata: unknown;
      };
    };

/** A gRPC client that people use from their shell. It knows nothing of us but what reflection tells it. */
export interface CommandLineClient {
  readonly name: string;
  /** Full names of the services that reflection lists. */
  listServices(caller: Caller): Promise<readonly string[]>;
  /** Names of a service's methods. */
  listMethods(caller: Caller, service: string): Promise<readonly string[]>;
  /** `method` is `package.Service/Method`. */
  call(caller: Caller, method: string, request: object): Promise<CallAnswer>;
  /** The first message of a stream that is then given up. */
  firstMessage(caller: Caller, method: string, request: object): Promise<Record<string, unknown>>;
}

/** The lines of a listing, in order. */
export function linesOf(output: string): readonly string[] {
  return output
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .sort();
}
