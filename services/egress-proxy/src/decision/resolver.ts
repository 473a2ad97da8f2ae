import { promises as dns } from "node:dns";
import { Refusal } from "./refusal.ts";

/** Finds the addresses of a name. */
export interface NameResolver {
  /** At least one address and at most 16, IPv4 first. Throws a Refusal of 502 or 504 where there is none. */
  resolve(name: string): Promise<readonly string[]>;
  /** Ends what is under way. */
  stop(): void;
}

const maximumAddresses = 16;
const maximumAgeMs = 30_000;
const maximumNames = 10_000;
/** RFC 8305: how long IPv6 addresses are waited for once there are IPv4 ones. */
const resolutionDelayMs = 50;

/**
 * Resolves by asking DNS servers only: never through the C library, which reads numbers as addresses and looks into files.
 * One question is asked at a time for a name; an answer is kept for as long as its records say, at most 30 s.
 */
export function createNameResolver(options: {
  readonly timeoutMs: number;
  readonly clock: () => number;
  /** Default: those of the machine. */
  readonly servers?: readonly string[] | undefined;
}): NameResolver {
  const resolver = new dns.Resolver({
    timeout: Math.ceil(options.timeoutMs / 2),
    tries: 2,
    maxTimeout: options.timeoutMs,
  });
  if (options.servers !== undefined && options.servers.length > 0) resolver.setServers([...options.servers]);
  const asking = new Map<string, Promise<readonly string[]>>();
  const kept = new Map<string, { readonly addresses: readonly string[]; readonly until: number }>();

  async function ask(name: string): Promise<readonly string[]> {
    const four = settle(resolver.resolve4(name, { ttl: true }));
    const six = settle(resolver.resolve6(name, { ttl: true }));
    const answers = [await four];
    const late = answers[0]?.ok === true ? AbortSignal.timeout(resolutionDelayMs) : undefined;
    answers.push(await (late === undefined ? six : Promise.race([six, nothingAfter(late)])));
    const records = answers.flatMap((answer) => (answer.ok ? answer.records : [])).slice(0, maximumAddresses);
    if (records.length === 0) throw dnsRefusal(answers.flatMap((answer) => (answer.ok ? [] : [answer.fault])));
    const addresses = records.map(({ address }) => address);
    const ttlMs = Math.min(...records.map(({ ttl }) => ttl)) * 1000;
    if (ttlMs > 0) keep(name, addresses, Math.min(ttlMs, maximumAgeMs));
    return addresses;
  }

  function keep(name: string, addresses: readonly string[], ageMs: number): void {
    if (kept.size >= maximumNames) kept.clear();
    kept.set(name, { addresses, until: options.clock() + ageMs });
  }

  return {
    resolve(name) {
      const known = kept.get(name);
      if (known !== undefined && options.clock() < known.until) return Promise.resolve(known.addresses);
      const running = asking.get(name);
      if (running !== undefined) return running;
      const started = ask(name).finally(() => asking.delete(name));
      asking.set(name, started);
      return started;
    },
    stop: () => resolver.cancel(),
  };
}

interface DnsRecord {
  readonly address: string;
  readonly ttl: number;
}

type Answer =
  | { readonly ok: true; readonly records: readonly DnsRecord[] }
  | { readonly ok: false; readonly fault: unknown };

async function settle(question: Promise<readonly DnsRecord[]>): Promise<Answer> {
  try {
    return { ok: true, records: await question };
  } catch (fault) {
    return { ok: false, fault };
  }
}

function nothingAfter(signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve) =>
    signal.addEventListener("abort", () => resolve({ ok: true, records: [] }), { once: true }),
  );
}

function dnsRefusal(faults: readonly unknown[]): Refusal {
  const codes = faults.map((fault) => (fault instanceof Error && "code" in fault ? fault.code : undefined));
  const [cause] = faults;
  return codes.includes("ETIMEOUT")
    ? Refusal.fault(504, "dns_timeout", "the name was not resolved in time", { cause })
    : Refusal.fault(502, "dns_failed", "the name cannot be resolved", { cause });
}
