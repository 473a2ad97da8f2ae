import { type Benchmark, medianOf, medianRatio } from "./benchmark.ts";
import { type ServerProcess, startServerProcess } from "./server-process.ts";
import { createBenchIdentity } from "./unary/bench-identity.ts";
import { type Load, openLoad } from "./unary/load.ts";

const contestants = {
  sandgate: "Sandgate: authenticated, authorized, counted",
  "grpc-js": "@grpc/grpc-js, bare handler",
  "grpc-js-bytes": "@grpc/grpc-js, bare handler that neither reads nor writes messages",
  http2: "node:http2, bare handler that neither reads nor writes messages",
  connect: "connect-node, hello world",
} as const;
type Contestant = keyof typeof contestants;

/** A supervisor holds one connection and calls now and then. */
const connections = 32;
const inFlightPerConnection = 1;
const warmUpCalls = 30_000;
const callsPerTurn = 1_000;
const turnsPerRound = 3;

/** The server's CPU time of a unary call over mutual TLS, against servers that do less. */
export const benchmark: Benchmark = {
  defaultRounds: 15,
  async run({ rounds, profileDirectory, onProgress }) {
    const identity = await createBenchIdentity(connections);
    const names = Object.keys(contestants) as Contestant[];
    const servers = new Map<Contestant, { process: ServerProcess; load: Load }>();
    const usPerCall = new Map<Contestant, number[]>(names.map((name) => [name, []]));
    try {
      for (const name of names) {
        const process = await startServerProcess(
          new URL(`./unary/${name}-server.ts`, import.meta.url),
          identity.server,
          profileDirectory === undefined
            ? []
            : ["--cpu-prof", `--cpu-prof-dir=${profileDirectory}`, `--cpu-prof-name=${name}.cpuprofile`],
        );
        const load = await openLoad({
          port: process.port,
          identity,
          serverName: "auth.sandgate.bench",
          path: "/sandgate.auth.v1.AuthService/GetPrincipal",
          inFlightPerConnection,
        });
        servers.set(name, { process, load });
        await load.call(warmUpCalls);
      }
      for (let round = 1; round <= rounds; round++) {
        const cpuUs = new Map<Contestant, number>();
        for (let turn = 0; turn < turnsPerRound; turn++)
          for (const [name, { process, load }] of servers) {
            const before = await process.readCpuUs();
            await load.call(callsPerTurn);
            cpuUs.set(name, (cpuUs.get(name) ?? 0) + (await process.readCpuUs()) - before);
          }
        for (const [name, us] of cpuUs) usPerCall.get(name)?.push(us / (callsPerTurn * turnsPerRound));
        const line = names.map((name) => `${name} ${usPerCall.get(name)?.at(-1)?.toFixed(1)}`).join("  ");
        onProgress(`round ${round}/${rounds}, us of CPU per call: ${line}`);
      }
    } finally {
      for (const { process, load } of servers.values()) {
        load.close();
        await process.stop();
      }
      await identity.remove();
    }
    const of = (name: Contestant) => usPerCall.get(name) ?? [];
    return {
      title: "A unary call",
      method:
        `CPU time of the server process for one AuthService.GetPrincipal of a sandbox over mutual TLS 1.3: ${connections} connections ` +
        `with ${inFlightPerConnection} call in flight each; ${rounds} rounds, in each of which every server gets ${turnsPerRound} times ` +
        `${callsPerTurn} calls, in turns. Same client, same bytes both ways. Ours checks certificate, session token and its binding to the ` +
        "key, revocation, role and scope, and counts; the others check that there is a certificate, and have their answer ready.",
      columns: ["CPU per call", "of Sandgate's"],
      rows: names.map((name) => ({
        name: contestants[name],
        cells: [`${medianOf(of(name)).toFixed(1)} us`, `${medianRatio(of(name), of("sandgate")).toFixed(2)} x`],
      })),
      limits: [
        { name: "against a bare grpc-js handler", measured: medianRatio(of("sandgate"), of("grpc-js")), limit: 1.25 },
        { name: "against a bare node:http2 handler", measured: medianRatio(of("sandgate"), of("http2")), limit: 1.8 },
        { name: "against connect-node's hello world", measured: medianRatio(of("sandgate"), of("connect")), limit: 1 },
      ],
    };
  },
};
