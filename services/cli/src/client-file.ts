import { readFileSync } from "node:fs";
import { CommandFailure } from "./command-failure.ts";
import { exitCodes } from "./exit-codes.ts";

/**
 * How the command reaches a suite: `client.json` in its state directory, or what `sandgate client-file` printed there. Holds paths
 * and addresses, no secret.
 */
export interface ClientFile {
  readonly version: 1;
  readonly trustDomain: string;
  /** The mTLS listener of each service; the same address thrice when they run in one process. */
  readonly addresses: Readonly<Record<ServiceName, string>>;
  /** The edge listener of each service, for clients with a token. */
  readonly edgeAddresses: Readonly<Record<ServiceName, string>>;
  /** The web front, for browsers and curl, with a token. */
  readonly webAddress?: string;
  /** PEM of the authority of service certificates: a file's path, or the text itself. */
  readonly serviceCa: { readonly file: string } | { readonly pem: string };
  /** The operator's certificate; undefined for users, who log in. */
  readonly operator: { readonly certificateFile: string; readonly keyFile: string } | undefined;
  /** Where this user's logins are kept; undefined: they are not to be used. */
  readonly loginFile?: string | undefined;
}

/** The services that the command calls. */
export type ServiceName = "auth" | "sandbox" | "policy";

/** Reads the file. Refuses, with exit code 5, where there is none: then no suite was started there. */
export function readClientFile(path: string): ClientFile {
  const file = findClientFile(path);
  if (file !== undefined) return file;
  throw new CommandFailure({
    message: `no suite is running: there is no ${path}`,
    mend: "start one with `sandgate up`",
    exitCode: exitCodes.unavailable,
  });
}

/** Reads the file; undefined where there is none. */
export function findClientFile(path: string): ClientFile | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw new CommandFailure({
      message: `${path} cannot be read`,
      mend: "run the command as the user that started the suite",
      exitCode: exitCodes.usage,
    });
  }
  return parseClientFile(path, text);
}

function parseClientFile(path: string, text: string): ClientFile {
  const broken = () =>
    new CommandFailure({
      message: `${path} is not a client file`,
      mend: "`sandgate up` writes it anew",
      exitCode: exitCodes.usage,
    });
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    throw broken();
  }
  if (!isRecord(document) || document["version"] !== 1) throw broken();
  const textOf = (record: Record<string, unknown>, name: string): string => {
    const value = record[name];
    if (typeof value !== "string" || value === "") throw broken();
    return value;
  };
  const addressesOf = (name: string): Record<ServiceName, string> => {
    const value = document[name];
    if (!isRecord(value)) throw broken();
    return { auth: textOf(value, "auth"), sandbox: textOf(value, "sandbox"), policy: textOf(value, "policy") };
  };
  return {
    version: 1,
    trustDomain: textOf(document, "trustDomain"),
    addresses: addressesOf("addresses"),
    edgeAddresses: addressesOf("edgeAddresses"),
    ...("webAddress" in document && { webAddress: textOf(document, "webAddress") }),
    serviceCa:
      document["serviceCa"] === undefined
        ? { file: textOf(document, "serviceCaFile") }
        : { pem: textOf(document, "serviceCa") },
    operator:
      document["certificateFile"] === undefined
        ? undefined
        : { certificateFile: textOf(document, "certificateFile"), keyFile: textOf(document, "keyFile") },
  };
}

/** The text of a client file. */
export function formatClientFile(file: ClientFile): string {
  const { version, trustDomain, addresses, edgeAddresses, webAddress, serviceCa, operator } = file;
  const authority = "pem" in serviceCa ? { serviceCa: serviceCa.pem } : { serviceCaFile: serviceCa.file };
  return `${JSON.stringify({ version, trustDomain, addresses, edgeAddresses, webAddress, ...authority, ...operator }, null, 2)}\n`;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
