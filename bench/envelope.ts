import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type CryptoKey, exportJWK, generateKeyPair, SignJWT } from "jose";
import { EnvelopeProgram } from "../test/envelope/envelope-program.ts";
import { guarded, hosts, TestNetwork } from "../test/envelope/test-network.ts";
import { type Benchmark, medianOf } from "./benchmark.ts";
import type { GrantsResult, GrantsTask } from "./envelope/grants-client.ts";

const guardedPort = 7_000;
const oneByOne = 20;
const atOnce = 500;
const concurrency = 64;

/** The access envelope against nftables in network namespaces: as root, on a machine with nft and ip. */
export const benchmark: Benchmark = {
  defaultRounds: 7,
  async run({ rounds, onProgress }) {
    const network = await TestNetwork.create();
    const directory = mkdtempSync(join(tmpdir(), "bench-envelope-"));
    const alone: number[] = [];
    const perSecond: number[] = [];
    try {
      await network.ip("client", "route", "add", "local", "10.97.0.0/16", "dev", "lo");
      await network.ip("guarded", "route", "add", "10.97.0.0/16", "via", hosts.client.v4);
      await network.host("guarded").do({ do: "listen", port: guardedPort });
      const { privateKey, publicKey } = await generateKeyPair("EdDSA", { crv: "Ed25519", extractable: true });
      writeFileSync(join(directory, "key.json"), JSON.stringify({ ...(await exportJWK(publicKey)), kid: "1" }));
      const program = await EnvelopeProgram.start(network.namespace("guarded"), directory, {
        admin: { port: 0 },
        address: "[::]:7001",
        insecure: true,
        state_directory: join(directory, "state"),
        machine: "bench",
        service: "bench",
        guarded: [{ protocol: "tcp", port: guardedPort }],
        tokens: { issuer: "bench", key_files: [join(directory, "key.json")] },
        lease: { capacity: 10_000 },
      });
      const client = startClient(network.namespace("client"));
      let firstAddress = 1;
      const ask = async (count: number, options: Pick<GrantsTask, "concurrency" | "connects">) => {
        const tokens = await Promise.all(Array.from({ length: count }, () => sign(privateKey)));
        const result = await client.ask({
          host: guarded.v4,
          port: 7_001,
          guardedPort,
          tokens,
          firstAddress,
          ...options,
        });
        firstAddress += count;
        return result;
      };
      for (let round = 0; round <= rounds; round++) {
        const { grantMs } = await ask(oneByOne, { concurrency: 1, connects: true });
        const { tookMs } = await ask(atOnce, { concurrency, connects: false });
        if (round === 0) continue; // to warm up
        alone.push(medianOf(grantMs));
        perSecond.push((atOnce * 1_000) / tookMs);
        onProgress(
          `round ${round}/${rounds}: ${medianOf(grantMs).toFixed(1)} ms, ${perSecond.at(-1)?.toFixed(0)} grants per second`,
        );
      }
      client.stop();
      await program.end("SIGTERM");
    } finally {
      await network.remove();
      rmSync(directory, { recursive: true });
    }
    return {
      title: "Grants of the access envelope",
      method: `An envelope over plain HTTP in a network namespace, clients in another, each grant for another address and by another token: ${oneByOne} one after the other, each until a connection to the guarded port is made; then ${atOnce}, ${concurrency} at once. ${rounds} rounds.`,
      columns: ["median"],
      rows: [
        { name: "request to first accepted connection", cells: [`${medianOf(alone).toFixed(1)} ms`] },
        { name: "grants per second", cells: [medianOf(perSecond).toFixed(0)] },
      ],
      limits: [
        { name: "request to first accepted connection, ms", measured: medianOf(alone), limit: 10 },
        { name: "a grant of many at once, ms", measured: 1_000 / medianOf(perSecond), limit: 1 },
      ],
    };
  },
};

async function sign(key: CryptoKey): Promise<string> {
  return await new SignJWT({ jti: crypto.randomUUID() })
    .setProtectedHeader({ alg: "EdDSA", kid: "1" })
    .setIssuer("bench")
    .setSubject("bench")
    .setAudience("bench")
    .setIssuedAt()
    .setExpirationTime("5 minutes")
    .sign(key);
}

function startClient(namespace: string) {
  const program = join(import.meta.dirname, "envelope/grants-client.ts");
  const child = spawn("ip", ["netns", "exec", namespace, process.execPath, program], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async ask(task: GrantsTask): Promise<GrantsResult> {
      child.stdin.write(`${JSON.stringify(task)}\n`);
      const answer = await answers.next();
      if (answer.done === true) throw new Error("the client has ended");
      return JSON.parse(answer.value) as GrantsResult;
    },
    stop: () => child.stdin.end(),
  };
}
