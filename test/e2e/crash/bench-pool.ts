import { type CrashBench, createCrashBench, type Topology } from "./crash-bench.ts";

/** Benches that are lent to one sandbox's life at a time. */
export interface BenchPool {
  /** Waits for a bench of that topology, and gives it back when the work is done. */
  use<T>(topology: Topology, work: (bench: CrashBench) => Promise<T>): Promise<T>;
  stop(): Promise<void>;
}

/** Makes one bench for each topology that is named. */
export async function createBenchPool(topologies: readonly Topology[]): Promise<BenchPool> {
  const benches = await Promise.all(topologies.map(createCrashBench));
  const idle = new Set(benches);
  const waiting: { readonly topology: Topology; readonly take: (bench: CrashBench) => void }[] = [];

  const take = async (topology: Topology): Promise<CrashBench> => {
    const bench = [...idle].find((each) => each.topology === topology);
    if (bench === undefined) return new Promise((resolve) => waiting.push({ topology, take: resolve }));
    idle.delete(bench);
    return bench;
  };
  const giveBack = (bench: CrashBench): void => {
    const index = waiting.findIndex(({ topology }) => topology === bench.topology);
    if (index < 0) idle.add(bench);
    else waiting.splice(index, 1)[0]?.take(bench);
  };
  return {
    async use(topology, work) {
      const bench = await take(topology);
      try {
        return await work(bench);
      } finally {
        giveBack(bench);
      }
    },
    async stop() {
      await Promise.all(benches.map((bench) => bench.stop()));
    },
  };
}
