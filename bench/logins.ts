import { readFileSync } from "node:fs";
import { join } from "node:path";
import { AuthService } from "@sandgate/api/auth";
import { Health } from "@sandgate/api/grpc/health";
import { Role } from "@sandgate/api/options";
import { CertificateStore, type Channel, createClient, createGrpcChannel } from "@sandgate/rpc";
import { type Benchmark, medianOf } from "./benchmark.ts";
import { createBenchSuite } from "./suite/bench-suite.ts";

const logins = 200;
const password = "correct horse battery";
/** Of that password, as Auth makes it. */
const passwordHash =
  "$argon2id$v=19$m=19456,t=2,p=1$M01kP2lDItryxsyS3M8kcQ$LwZTVIB70+HyLXVE3hAFBvFevYdJtFV43m+tf7CpECo";

/** Many logins at the same moment, and how long the same process's health check takes meanwhile. */
export const benchmark: Benchmark = {
  defaultRounds: 5,
  async run({ rounds, onProgress }) {
    const suite = createBenchSuite();
    const channels: Channel[] = [];
    const atRestMs: number[] = [];
    const underLoadMs: number[] = [];
    const allMs: number[] = [];
    const firstMs: number[] = [];
    try {
      await suite.sandgate("up", "--json");
      const file = JSON.parse(readFileSync(join(suite.directory, "client.json"), "utf8")) as Readonly<
        Record<"trustDomain" | "serviceCaFile" | "certificateFile" | "keyFile", string>
      > & { readonly addresses: { readonly auth: string }; readonly edgeAddresses: { readonly auth: string } };
      const read = (path: string) => readFileSync(path, "utf8");
      const dial = (address: string, certificates: CertificateStore) => {
        const channel = createGrpcChannel({ address, serverName: `auth.${file.trustDomain}`, certificates });
        channels.push(channel);
        return channel;
      };
      const ca = read(file.serviceCaFile);
      const operator = new CertificateStore({ ca, certificate: read(file.certificateFile), key: read(file.keyFile) });
      const admin = createClient(AuthService, dial(file.addresses.auth, operator));
      const auth = createClient(AuthService, dial(file.edgeAddresses.auth, new CertificateStore({ ca })));
      const health = createClient(Health, dial(file.edgeAddresses.auth, new CertificateStore({ ca })));
      const names = Array.from({ length: logins }, (_, index) => `user-${index}@example.test`);
      for (const login of names) await admin.importUser({ login, role: Role.VIEWER, passwordHash });

      for (let round = 0; round <= rounds; round++) {
        const rest = await timeChecks(health, async () => {
          await timeOf(() => Promise.all(names.map(() => health.check({}))));
        });
        const tookMs: number[] = [];
        const load = await timeChecks(health, async () => {
          await Promise.all(
            names.map(async (login) => {
              tookMs.push(await timeOf(() => auth.login({ login, password }, { timeoutMs: 60_000 })));
            }),
          );
        });
        if (round === 0) continue; // to warm up
        atRestMs.push(percentile(rest, 0.99));
        underLoadMs.push(percentile(load, 0.99));
        allMs.push(Math.max(...tookMs));
        firstMs.push(Math.min(...tookMs));
        onProgress(
          `round ${round}/${rounds}: all in ${allMs.at(-1)?.toFixed(0)} ms, health p99 ${underLoadMs.at(-1)?.toFixed(1)} ms of ${load.length}`,
        );
      }
    } finally {
      for (const channel of channels) channel.close();
      await suite.remove();
    }
    const row = (name: string, values: readonly number[]) => ({
      name,
      cells: [medianOf(values), Math.max(...values)].map((value) => `${value.toFixed(1)} ms`),
    });
    return {
      title: "Logins at the same moment",
      method:
        `${logins} users log in at the same moment by argon2id (19 MiB, 2 passes) on a suite that runs as one process with its database; meanwhile one health check after ` +
        `another is made on a connection of its own. ${rounds} rounds; of each the p99 of the checks, the first login and the last.`,
      columns: ["median of rounds", "worst round"],
      rows: [
        row("health check, p99, beside health checks alone", atRestMs),
        row("health check, p99, beside the logins", underLoadMs),
        row("the first login", firstMs),
        row(`the last of ${logins} logins`, allMs),
      ],
      limits: [{ name: "health check beside the logins, p99 in ms", measured: medianOf(underLoadMs), limit: 50 }],
    };
  },
};

/** How long one health check after another takes until the work is done. */
async function timeChecks(
  health: { check(request: object): Promise<unknown> },
  work: () => Promise<void>,
): Promise<readonly number[]> {
  let isDone = false;
  const done = work().finally(() => {
    isDone = true;
  });
  const tookMs: number[] = [];
  while (!isDone) tookMs.push(await timeOf(() => health.check({})));
  await done;
  return tookMs;
}

async function timeOf(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

function percentile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}
