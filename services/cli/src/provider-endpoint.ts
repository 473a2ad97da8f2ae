import { InvalidArgumentError } from "commander";

/** Where a secret may be sent, as a person writes it: [https://|http://]host[:port][/path]. https where nothing else is said. */
export function parseProviderEndpoint(text: string): {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly cleartext: boolean;
} {
  const [whole, scheme, host = "", port = "0", path = ""] =
    /^(?:(https?):\/\/)?([^/:@?#[\]]+)(?::([0-9]{1,5}))?(\/[^?#]*)?$/.exec(text) ?? [];
  if (whole === undefined) throw new InvalidArgumentError("it must be [https://|http://]host[:port][/path].");
  return { host, port: Number(port), path, cleartext: scheme === "http" };
}
