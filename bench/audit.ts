import { chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Action, PolicyService } from "@sandgate/api/policy";
import { createDevelopmentPki } from "@sandgate/pki/authority";
import { CertificateStore, createClient, createGrpcChannel, ServiceError } from "@sandgate/rpc";
import type { PolicyServerSettings } from "./audit/policy-server.ts";
import { type Benchmark, medianOf, medianRatio } from "./benchmark.ts";
import { startServerProcess } from "./server-process.ts";

const trustDomain = "sandgate.bench";
const sandboxId = `sbx-${"a".repeat(20)}`;
const missingSandboxId = `sbx-${"b".repeat(20)}`;
const policy = { rules: [{ name: "api", action: Action.ALLOW, hosts: ["api.example.com"] }] };

const inFlight = 32;
const callsPerTurn = 400;
const warmUpCalls = 2_000;

/** Calls whose audit record is chained and durable before they are answered, beside reads, which are counted. */
export const benchmark: Benchmark = {
  defaultRounds: 11,
  async run({ rounds, onProgress }) {
    const directory = await mkdtemp(join(tmpdir(), "sandgate-bench-"));
    await chmod(directory, 0o711); // as root the database has an uid of its own and has to pass
    const settings: Omit<PolicyServerSettings, "tls"> = {
      directory,
      trustDomain,
      sandboxId,
      userId: "0b8f8c0e-1111-4222-8333-444455556666",
      organizationId: "6f1d9a52-0c5e-4a39-9c55-0f8a3f1f7a01",
    };
    const pki = await createDevelopmentPki({
      directory: join(directory, "pki"),
      trustDomain,
      operatorUserId: settings.userId,
    });
    const server = await startServerProcess(new URL("./audit/policy-server.ts", import.meta.url), {
      ...settings,
      tls: {
        certificate_file: pki.services.policy.certificateFile,
        key_file: pki.services.policy.keyFile,
        service_ca_file: pki.serviceAuthority.certificateFile,
        sandbox_ca_file: pki.sandboxAuthority.certificateFile,
        operator_ca_file: pki.operatorAuthority.certificateFile,
      },
    } satisfies PolicyServerSettings);
    const channel = createGrpcChannel({
      address: `127.0.0.1:${server.port}`,
      serverName: `policy.${trustDomain}`,
      certificates: new CertificateStore({
        ca: await readFile(pki.serviceAuthority.certificateFile, "utf8"),
        certificate: await readFile(pki.operator.certificateFile, "utf8"),
        key: await readFile(pki.operator.keyFile, "utf8"),
      }),
    });
    const client = createClient(PolicyService, channel);
    const kinds: Record<string, { readonly title: string; call(): Promise<unknown> }> = {
      read: { title: "GetPolicy, counted", call: () => client.getPolicy({ sandbox: sandboxId }) },
      denial: {
        title: "GetPolicy of a sandbox that the caller may not see, refused and chained",
        call: () => requireRefusal(client.getPolicy({ sandbox: missingSandboxId })),
      },
      mutation: {
        title: "SetPolicy, chained in its own transaction",
        call: () => client.setPolicy({ sandbox: sandboxId, policy, requestId: crypto.randomUUID() }),
      },
    };
    const perSecond = new Map<string, number[]>(Object.keys(kinds).map((kind) => [kind, []]));
    const cpuUs = new Map<string, number[]>(Object.keys(kinds).map((kind) => [kind, []]));
    try {
      await client.setPolicy({ sandbox: sandboxId, policy });
      for (const { call } of Object.values(kinds)) await callMany(call, warmUpCalls);
      for (let round = 1; round <= rounds; round++) {
        for (const [kind, { call }] of Object.entries(kinds)) {
          const before = await server.readCpuUs();
          const startedAt = performance.now();
          await callMany(call, callsPerTurn);
          perSecond.get(kind)?.push(callsPerTurn / ((performance.now() - startedAt) / 1000));
          cpuUs.get(kind)?.push(((await server.readCpuUs()) - before) / callsPerTurn);
        }
        const line = Object.keys(kinds).map((kind) => `${kind} ${perSecond.get(kind)?.at(-1)?.toFixed(0)}`);
        onProgress(`round ${round}/${rounds}, calls per second: ${line.join("  ")}`);
      }
    } finally {
      channel.close();
      await server.stop();
      await rm(directory, { recursive: true });
    }
    const of = (map: ReadonlyMap<string, number[]>, kind: string) => map.get(kind) ?? [];
    return {
      title: "Audited calls",
      method:
        `Calls to the Policy service over mutual TLS with an embedded, durable PostgreSQL, ${inFlight} in flight on one connection; ${rounds} rounds of ` +
        `${callsPerTurn} calls of each kind, in turns. CPU is the service's alone, without the database's. The chain is verified at the end.`,
      columns: ["calls per second", "of reads", "CPU per call"],
      rows: Object.entries(kinds).map(([kind, { title }]) => ({
        name: title,
        cells: [
          medianOf(of(perSecond, kind)).toFixed(0),
          `${medianRatio(of(perSecond, kind), of(perSecond, "read")).toFixed(2)} x`,
          `${medianOf(of(cpuUs, kind)).toFixed(0)} us`,
        ],
      })),
      limits: [],
    };
  },
};

async function callMany(call: () => Promise<unknown>, count: number): Promise<void> {
  let left = count;
  const work = async () => {
    while (left-- > 0) await call();
  };
  await Promise.all(Array.from({ length: inFlight }, work));
}

async function requireRefusal(call: Promise<unknown>): Promise<void> {
  const refused = await call.then(
    () => false,
    (error: unknown) => error instanceof ServiceError && error.reason === "SANDBOX_NOT_FOUND",
  );
  if (!refused) throw new Error("a call that must be refused was not");
}
