import { resolve } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { ErrorInfoSchema } from "@sandgate/api/google/rpc/error-details";
import { type Caller, type CommandLineClient, linesOf } from "./command-line-client.ts";
import { readFirstObject, runCommand } from "./run-command.ts";

const command = resolve(import.meta.dirname, "../../node_modules/.bin/buf");

/** buf curl with the gRPC protocol. */
export const bufCurl: CommandLineClient = {
  name: "buf curl",
  listServices: async (caller) => linesOf(await succeed([...flags(caller), "--list-services", base(caller)])),
  listMethods: async (caller, service) =>
    linesOf(await succeed([...flags(caller), "--list-methods", base(caller)]))
      .filter((name) => name.startsWith(`${service}/`))
      .map((name) => name.slice(service.length + 1)),
  call: async (caller, method, request) => {
    const { exitCode, stdout, stderr } = await runCommand(command, words(caller, method, request));
    if (exitCode === 0) return { message: JSON.parse(stdout) };
    const { message, details } = JSON.parse(stderr);
    // buf does not ask reflection for what is in an error
    const { reason, domain, metadata } = fromBinary(ErrorInfoSchema, Buffer.from(details[0].value, "base64"));
    return { error: { message, reason, domain, metadata } };
  },
  firstMessage: (caller, method, request) => readFirstObject(command, words(caller, method, request)),
};

function words(caller: Caller, method: string, request: object): readonly string[] {
  return [...flags(caller), "--data", JSON.stringify(request), `${base(caller)}/${method}`];
}

function base({ address }: Caller): string {
  return `https://${address}`;
}

function flags({ serviceCaFile, certificate, token }: Caller): readonly string[] {
  return [
    "curl",
    "--protocol=grpc",
    `--cacert=${serviceCaFile}`,
    ...(certificate === undefined ? [] : [`--cert=${certificate.certificateFile}`, `--key=${certificate.keyFile}`]),
    ...(token === undefined ? [] : ["--header", `authorization: Bearer ${token}`]),
  ];
}

async function succeed(given: readonly string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await runCommand(command, given);
  if (exitCode !== 0) throw new Error(`buf exited with ${exitCode}: ${stderr}`);
  return stdout;
}
