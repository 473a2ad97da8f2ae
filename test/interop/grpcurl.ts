import { type Caller, type CommandLineClient, linesOf } from "./command-line-client.ts";
import { readFirstObject, runCommand } from "./run-command.ts";

const command = "grpcurl";

/** What to do where it is missing. This version builds with Go 1.19. */
export const missingGrpcurl =
  "grpcurl is not on this machine: go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.8.9";

/** Whether grpcurl is on this machine. */
export async function hasGrpcurl(): Promise<boolean> {
  return runCommand(command, ["-version"]).then(
    ({ exitCode }) => exitCode === 0,
    () => false,
  );
}

/** What grpcurl says about a service, a method or a message. */
export async function describeWithGrpcurl(caller: Caller, symbol: string): Promise<string> {
  return succeed([...flags(caller), caller.address, "describe", symbol]);
}

/** grpcurl, of which the README speaks. */
export const grpcurl: CommandLineClient = {
  name: "grpcurl",
  listServices: async (caller) => linesOf(await succeed([...flags(caller), caller.address, "list"])),
  listMethods: async (caller, service) =>
    linesOf(await succeed([...flags(caller), caller.address, "list", service])).map((name) =>
      name.slice(service.length + 1),
    ),
  call: async (caller, method, request) => {
    const { exitCode, stdout, stderr } = await runCommand(command, words(caller, method, request));
    if (exitCode === 0) return { message: JSON.parse(stdout) };
    const { message, details } = JSON.parse(stderr);
    const { reason, domain, metadata } = details[0];
    return { error: { message, reason, domain, metadata } };
  },
  firstMessage: (caller, method, request) => readFirstObject(command, words(caller, method, request)),
};

function words(caller: Caller, method: string, request: object): readonly string[] {
  return [...flags(caller), "-format-error", "-d", JSON.stringify(request), caller.address, method];
}

function flags({ serviceCaFile, certificate, token }: Caller): readonly string[] {
  return [
    "-cacert",
    serviceCaFile,
    ...(certificate === undefined ? [] : ["-cert", certificate.certificateFile, "-key", certificate.keyFile]),
    ...(token === undefined ? [] : ["-H", `authorization: Bearer ${token}`]),
  ];
}

async function succeed(given: readonly string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await runCommand(command, given);
  if (exitCode !== 0) throw new Error(`grpcurl exited with ${exitCode}: ${stderr}`);
  return stdout;
}
