/** What a host of the test's network can be asked to do. */
export type HostTask =
  | { readonly do: "listen"; readonly port: number }
  | { readonly do: "connect"; readonly host: string; readonly port: number; readonly waitMs: number }
  | { readonly do: "echo"; readonly socket: number; readonly waitMs: number }
  | {
      readonly do: "echo-datagram";
      readonly host: string;
      readonly port: number;
      readonly waitMs: number;
      readonly bytes: number;
      /** The port to send from; default any. */
      readonly from?: number;
    }
  | { readonly do: "ask"; readonly host: string; readonly port: number; readonly lines: readonly string[] }
  | { readonly do: "write"; readonly socket: number; readonly hex: string }
  | { readonly do: "close"; readonly socket: number }
  | { readonly do: "read-to-end"; readonly socket: number };

export type HostRequest = HostTask & { readonly id: number };

/** What it answers. */
export interface HostAnswer {
  readonly socket?: number | undefined;
  readonly answered?: boolean;
  readonly head?: string;
  readonly hex?: string;
}
