import { generateKeyPairSync, randomBytes, randomUUID } from "node:crypto";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createKeySet, createTokenSigner, formatJwks, mintToken, TokenVerifier } from "@sandgate/identity";
import { newSandboxId } from "../services/auth/src/auth-bench.contract.ts";
import { type Benchmark, medianOf, medianRatio } from "./benchmark.ts";
import { refreshesInFlight, startRefreshes } from "./tokens/refreshes.ts";

const trustDomain = "sandgate.bench";
const tokensPerRound = 2_000;
const hitsPerRound = 200_000;
const shownTokens = 100_000;
const inFlight = 64;
const refreshesPerRound = 160;

/** What a session token costs: to sign, to verify, to recognize again, to remember, and to renew with all that belongs to it. */
export const benchmark: Benchmark = {
  defaultRounds: 9,
  async run({ rounds, onProgress }) {
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    const signer = createTokenSigner(privateKey);
    const thumbprint = "k".repeat(43);
    const now = Date.now();
    const mint = (): Promise<string> =>
      mintToken({
        signer,
        trustDomain,
        claims: {
          kind: "session",
          tokenId: randomBytes(32).toString("base64url"),
          sandboxId: newSandboxId(),
          organizationId: randomUUID(),
          incarnation: 1n,
          keyThumbprint: thumbprint,
          issuedAtMs: now,
          expiresAtMs: now + 900_000,
        },
      });
    const createVerifier = () =>
      new TokenVerifier({
        kind: "session",
        trustDomain,
        keys: createKeySet(formatJwks([publicKey])),
        clock: () => now,
      });

    const us = { sign: [] as number[], verify: [] as number[], hit: [] as number[] };
    for (let round = 0; round <= rounds; round++) {
      const verifier = createVerifier();
      const tokens: string[] = [];
      const sign = await cpuUs(tokensPerRound, async () => void tokens.push(await mint()));
      let next = 0;
      const verify = await cpuUs(tokensPerRound, async () => {
        const { outcome } = await verifier.verify(tokens[next++] ?? "", thumbprint);
        if (outcome !== "verified") throw new Error("a good token was not verified");
      });
      const before = process.cpuUsage();
      for (let hit = 0; hit < hitsPerRound; hit++)
        if (verifier.recall(tokens[hit % tokens.length] ?? "", thumbprint) === undefined)
          throw new Error("a verified token was not remembered");
      const hit = usSince(before) / hitsPerRound;
      if (round === 0) continue; // what is compiled while it runs is not what runs later
      us.sign.push(sign);
      us.verify.push(verify);
      us.hit.push(hit);
      onProgress(
        `round ${round}/${rounds}, us: sign ${sign.toFixed(0)}  verify ${verify.toFixed(0)}  hit ${hit.toFixed(2)}`,
      );
    }

    onProgress(`showing ${shownTokens} tokens`);
    const cache = createVerifier();
    const empty = heapBytes();
    await cpuUs(shownTokens, async () => void (await cache.verify(await mint(), thumbprint)));
    const heldMb = (heapBytes() - empty) / 1e6;

    const refreshes = await startRefreshes();
    const costs = { refresh: [] as Cost[], bare: [] as Cost[] };
    try {
      for (let round = 0; round <= rounds; round++) {
        const refresh = await costOf(refreshesPerRound, refreshes.refresh);
        const bare = await costOf(refreshesPerRound, refreshes.bare);
        if (round === 0) continue;
        costs.refresh.push(refresh);
        costs.bare.push(bare);
        onProgress(
          `round ${round}/${rounds}, us: refresh ${refresh.wallUs.toFixed(0)}  bare ${bare.wallUs.toFixed(0)}`,
        );
      }
    } finally {
      await refreshes.stop();
    }
    const [cpu, wall] = (["cpuUs", "wallUs"] as const).map((name) => ({
      refresh: costs.refresh.map((cost) => cost[name]),
      bare: costs.bare.map((cost) => cost[name]),
    }));
    if (cpu === undefined || wall === undefined) throw new Error("nothing was measured");
    const refreshRow = (name: string, of: "refresh" | "bare") => ({
      name,
      cells: [
        `${medianOf(cpu[of]).toFixed(0)} us`,
        (1e6 / medianOf(cpu[of])).toFixed(0),
        `${medianOf(wall[of]).toFixed(0)} us`,
      ],
    });

    return {
      title: "A session token",
      method:
        `CPU time, all threads included: ${rounds} rounds of ${tokensPerRound} tokens signed from claims and verified, and of ${hitsPerRound} times a token ` +
        `that was verified before, by its hash. Memory: what the heap has grown by after ${shownTokens} good tokens, all of different sandboxes and organizations, of which the last ${cache.size} are remembered. ` +
        `RefreshSandboxToken: ${refreshesPerRound} a round, ${refreshesInFlight} sandboxes at once, through Auth's module on an embedded, durable PostgreSQL, without a transport: certificate, rows, ` +
        `audit record and token; in turns with as many inserts of one row as large and P-256 signatures over as many bytes as a certificate has. CPU is Auth's, without the database's.`,
      columns: ["CPU each", "per core-second", "time each"],
      rows: [
        ...(
          [
            ["sign, as Auth does", us.sign],
            ["verify", us.verify],
            ["recognize again", us.hit],
          ] as const
        ).map(([name, values]) => ({
          name,
          cells: [`${medianOf(values).toFixed(2)} us`, (1e6 / medianOf(values)).toFixed(0), ""],
        })),
        refreshRow("a whole RefreshSandboxToken", "refresh"),
        refreshRow("a bare insert and an X.509 signature", "bare"),
        {
          name: "the refresh, of the bare insert and signature",
          cells: [
            `${medianRatio(cpu.refresh, cpu.bare).toFixed(2)} x`,
            "",
            `${medianRatio(wall.refresh, wall.bare).toFixed(2)} x`,
          ],
        },
      ],
      limits: [
        { name: "signing, us (5,000 a core-second)", measured: medianOf(us.sign), limit: 200 },
        { name: "recognizing a verified token, us", measured: medianOf(us.hit), limit: 5 },
        { name: `memory after ${shownTokens} tokens, MB`, measured: heldMb, limit: 40 },
      ],
    };
  },
};

interface Cost {
  readonly cpuUs: number;
  readonly wallUs: number;
}

/** What one call costs among as many as there are sandboxes. */
async function costOf(count: number, once: (index: number) => Promise<void>): Promise<Cost> {
  const startedAt = performance.now();
  const before = process.cpuUsage();
  const each = count / refreshesInFlight;
  const work = async (index: number): Promise<void> => {
    for (let left = each; left > 0; left--) await once(index);
  };
  await Promise.all(Array.from({ length: refreshesInFlight }, (_, index) => work(index)));
  return { cpuUs: usSince(before) / count, wallUs: ((performance.now() - startedAt) * 1000) / count };
}

/** CPU time of one call among many that run at once. */
async function cpuUs(count: number, once: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  let left = count;
  const work = async (): Promise<void> => {
    while (left-- > 0) await once();
  };
  await Promise.all(Array.from({ length: inFlight }, work));
  return usSince(before) / count;
}

function usSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

function heapBytes(): number {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("gc");
  if (typeof collect !== "function") throw new TypeError("this Node cannot be told to collect garbage");
  collect();
  return process.memoryUsage().heapUsed;
}
