import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { status } from "@grpc/grpc-js";
import type { Attack } from "../integration/attack-matrix/run-matrix.ts";
import { type CallAnswer, type DescribedCall, describeCall, outcomeOf } from "./described-call.ts";
import { runCommand, runToFirstObject } from "./run-command.ts";

/** grpcurl as a client of the attack matrix, with a directory for the attackers' certificates. */
export interface GrpcurlAttacker {
  readonly attack: Attack;
  remove(): Promise<void>;
}

const buf = resolve(import.meta.dirname, "../../node_modules/.bin/buf");

/** Gives grpcurl the contract in a file, because a sandbox's own sockets have no reflection. */
export async function createGrpcurlAttacker(): Promise<GrpcurlAttacker> {
  const directory = await mkdtemp(join(tmpdir(), "sg-grpcurl-"));
  const contract = join(directory, "contract.binpb");
  const root = resolve(import.meta.dirname, "../..");
  const { exitCode, stderr } = await runCommand(buf, ["build", "--output", contract], { directory: root });
  if (exitCode !== 0) throw new Error(`buf exited with ${exitCode}: ${stderr}`);
  let files = 0;
  const keep = async (pem: string): Promise<string> => {
    const file = join(directory, `${files++}.pem`);
    await writeFile(file, pem, { mode: 0o600 });
    return file;
  };
  return {
    attack: async (attacker, method, requests) => {
      const call = describeCall(attacker, method, requests);
      return outcomeOf(await make(call, ["-protoset", contract, ...(await credentials(call, keep))]));
    },
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}

async function make({ address, method, requests }: DescribedCall, flags: readonly string[]): Promise<CallAnswer> {
  const [, path] = /^unix:(.*)/.exec(address) ?? [];
  const { stdout, stderr } = await runToFirstObject("grpcurl", [
    "-format-error",
    ...flags,
    ...(path === undefined ? [] : ["-unix"]),
    "-d",
    requests.map((request) => JSON.stringify(request)).join("\n"),
    path ?? address,
    method,
  ]);
  if (stdout !== "") return { code: "OK" };
  // a connection that could not be opened is told in words
  if (stderr.startsWith("Failed to dial target host")) return { code: "UNAVAILABLE" };
  const { code, details = [] } = JSON.parse(stderr) as { code: number; details?: { reason?: string }[] }; // of grpcurl
  return { code: status[code] ?? String(code), reason: details[0]?.reason };
}

async function credentials(call: DescribedCall, keep: (pem: string) => Promise<string>): Promise<readonly string[]> {
  const { serviceCa, serverName, certificate, key, headers } = call;
  const own =
    certificate === undefined || key === undefined ? [] : ["-cert", await keep(certificate), "-key", await keep(key)];
  return [
    "-cacert",
    await keep(serviceCa),
    "-servername",
    serverName,
    ...own,
    ...Object.entries(headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`]),
  ];
}
