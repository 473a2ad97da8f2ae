import { compilePolicy, parseAuthoredPolicy, type RecordedDestination, simulate } from "@sandgate/policy";
import { type Benchmark, medianOf } from "./benchmark.ts";

const decisions = 100_000;
const wantedPerSecond = 100_000;

/** What it costs to decide anew on what is on record, by the policy in force and by a candidate. */
export const benchmark: Benchmark = {
  defaultRounds: 9,
  async run({ rounds, onProgress }) {
    const [current, candidate] = [policyOf(0), policyOf(5)];
    const recorded = Array.from(
      { length: decisions },
      (_, index): RecordedDestination => ({
        host: `h${index % 40}.${index % 1200 === 0 ? `new${index}` : `r${index % 520}`}.example.com`,
        port: index % 7 === 0 ? 8443 : 443,
        address: index % 3 === 0 ? "" : `93.184.${index % 250}.34`,
        count: 1,
      }),
    );
    const us: number[] = [];
    let changed = 0;
    for (let round = 0; round <= rounds; round++) {
      const before = process.cpuUsage();
      const { newlyAllowed, newlyDenied } = simulate(current, candidate, recorded, Date.now());
      const { user, system } = process.cpuUsage(before);
      changed = newlyAllowed.length + newlyDenied.length;
      if (round === 0) continue; // what is compiled while it runs is not what runs later
      us.push((user + system) / decisions);
      onProgress(`round ${round}/${rounds}, us: ${us.at(-1)?.toFixed(2)}`);
    }
    const eachUs = medianOf(us);
    return {
      title: "A simulation",
      method:
        `CPU time, all threads included: ${rounds} rounds of ${decisions} decisions, none of them summed up, decided anew by two policies of 500 rules with ` +
        `10,000 hosts each, of which every other is a wildcard; two of three have an address that is vetted. ${changed} of them change.`,
      columns: ["CPU each", "per core-second"],
      rows: [{ name: "both policies", cells: [`${eachUs.toFixed(2)} us`, (1e6 / eachUs).toFixed(0)] }],
      limits: [
        { name: `a decision, us (${wantedPerSecond} a core-second)`, measured: eachUs, limit: 1e6 / wantedPerSecond },
      ],
    };
  },
};

/** 500 rules with 20 hosts each, the first of them number `first`. */
function policyOf(first: number) {
  const check = parseAuthoredPolicy({
    rules: Array.from({ length: 500 }, (_, rule) => ({
      name: `r${rule + first}`,
      hosts: Array.from(
        { length: 20 },
        (_, host) => `${host % 2 === 0 ? "" : "*."}h${host}.r${rule + first}.example.com`,
      ),
    })),
  });
  if (!check.ok) throw new Error("the policy has faults");
  return compilePolicy(check.policy);
}
