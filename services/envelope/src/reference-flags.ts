import { hostname } from "node:os";
import { ConfigError, type ConfigFault, type Environment } from "@sandgate/config";

/** A flag that M-Lab's envelope has, or, with `sandgate.`, one for what ours needs to know beside. */
interface Flag {
  readonly kind: "text" | "list" | "boolean";
  readonly fallback: string;
}

const text = (fallback: string): Flag => ({ kind: "text", fallback });

const flags: Readonly<Record<string, Flag>> = {
  "envelope.listen-address": text(":8880"),
  "envelope.max-clients": text("1"),
  "envelope.cert": text(""),
  "envelope.key": text(""),
  "envelope.verify-key": { kind: "list", fallback: "" },
  "envelope.token-required": { kind: "boolean", fallback: "true" },
  "envelope.machine": text(""),
  "envelope.subject": text(""),
  "envelope.device": text("eth0"),
  timeout: text("1m"),
  "address.iptables": text(""),
  "address.iptables-save": text(""),
  "address.iptables-restore": text(""),
  "address.ip6tables": text(""),
  "address.ip6tables-save": text(""),
  "address.ip6tables-restore": text(""),
  "txcontroller.device": text(""),
  "txcontroller.max-rate": text("0"),
  "prometheusx.listen-address": text(":9990"),
  "httpx.tcp-network": text("tcp"),
  "logx.debug": { kind: "boolean", fallback: "false" },
  "sandgate.guarded": text(""),
  "sandgate.issuer": text("locate"),
  "sandgate.state-directory": text("/var/lib/sandgate-envelope"),
};

/** What the flags come to. */
export interface ReferenceSettings {
  /** Of the envelope, in compatible mode; to be judged by its schema. */
  readonly config: Readonly<Record<string, unknown>>;
  /** What was set, by flag; none of it is secret. */
  readonly values: Readonly<Record<string, string>>;
  /** To be logged. */
  readonly warnings: readonly string[];
}

/**
 * Reads the flags of M-Lab's envelope (A.3) as Go does: with one dash or two, `-name=value` or `-name value`. A flag that is not given comes from
 * the environment's variable of its name, in upper case with `_` for all else. Throws ConfigError with every flag that is not understood.
 * Where M-Lab's envelope is open by default, ours asks: one of certificate and key alone is refused (EW-15), and `-sandgate.guarded` must say
 * which ports leases open (EW-02, EW-03).
 */
export function readReferenceFlags(argv: readonly string[], env: Environment): ReferenceSettings {
  const faults: ConfigFault[] = [];
  const warnings: string[] = [];
  const given = parseFlags(argv, faults);
  const values: Record<string, string> = {};
  for (const [name, { fallback }] of Object.entries(flags)) {
    const variable = name.toUpperCase().replaceAll(/[^A-Z0-9]/g, "_");
    const fromEnvironment = env[variable];
    const fromFlag = given.get(name)?.join(",");
    if (fromFlag !== undefined && fromEnvironment !== undefined) warnings.push(`-${name} overrides ${variable}`);
    values[name] = fromFlag ?? fromEnvironment ?? fallback;
  }
  const read = new FlagReader(values, faults);
  const config = toConfig(read);
  for (const [name, value] of Object.entries(values))
    if (/^address\..*-(save|restore)$/.test(name) && value !== "")
      warnings.push(`-${name} is not used: rules are restored by the program beside iptables, and never saved`);
  if (!/^(127\.0\.0\.1|localhost):/.test(read.text("prometheusx.listen-address")))
    warnings.push("metrics are served on 127.0.0.1 alone");
  if (faults.length > 0) throw new ConfigError(faults);
  return { config, values, warnings };
}

function parseFlags(argv: readonly string[], faults: ConfigFault[]): ReadonlyMap<string, readonly string[]> {
  const given = new Map<string, string[]>();
  const rest = [...argv];
  for (let argument = rest.shift(); argument !== undefined; argument = rest.shift()) {
    const [, name = "", inline] = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(argument) ?? [];
    const flag = Object.hasOwn(flags, name) ? flags[name] : undefined;
    if (flag === undefined) {
      faults.push({ path: argument.replace(/=.*/s, ""), message: "is not a flag" });
      continue;
    }
    const value = inline ?? (flag.kind === "boolean" ? "true" : rest.shift());
    if (value === undefined) faults.push({ path: `-${name}`, message: "needs a value" });
    else given.set(name, flag.kind === "list" ? [...(given.get(name) ?? []), value] : [value]); // else the last one counts
  }
  return given;
}

function toConfig(read: FlagReader): Record<string, unknown> {
  const tokenRequired = read.boolean("envelope.token-required");
  const keyFiles = read.list("envelope.verify-key");
  const [certificate, key] = [read.text("envelope.cert"), read.text("envelope.key")];
  if ((certificate === "") !== (key === ""))
    read.fault("envelope.cert", "needs -envelope.key too, and that needs this");
  const guarded = read.list("sandgate.guarded").map((item) => read.port(item));
  if (guarded.length === 0 && tokenRequired)
    read.fault("sandgate.guarded", "is required: the ports that leases open, as in tcp/443,udp/443");
  const machine = read.text("envelope.machine");
  if (machine === "" && tokenRequired) read.fault("envelope.machine", "is required: nobody's token could be good");
  if (keyFiles.length === 0 && tokenRequired)
    read.fault("envelope.verify-key", "is required: nobody's token could be good");
  const transmitDevice = read.text("txcontroller.device");
  const maxRate = read.integer("txcontroller.max-rate");
  const network = read.network("httpx.tcp-network");
  return {
    log: { level: read.boolean("logx.debug") ? "debug" : "info" },
    admin: { port: read.address("prometheusx.listen-address", "").port },
    address: read.address("envelope.listen-address", network === "tcp4" ? "0.0.0.0" : "[::]").text,
    ipv6_only: network === "tcp6",
    ...(certificate === "" ? { insecure: true } : { tls: { certificate_file: certificate, key_file: key } }),
    state_directory: read.text("sandgate.state-directory"),
    machine: machine === "" ? hostname() : machine,
    service: read.text("envelope.subject") || "unknown",
    guarded,
    ...(keyFiles.length > 0 && {
      tokens: {
        issuer: read.text("sandgate.issuer"),
        algorithms: ["EdDSA", "ES256", "RS256"],
        key_files: keyFiles,
      },
    }),
    lease: { capacity: read.integer("envelope.max-clients") },
    firewall: { device: read.text("envelope.device"), ...toBackend(read) },
    ...(transmitDevice !== "" && maxRate > 0 && { transmit: { device: transmitDevice, max_bits_per_second: maxRate } }),
    compatible: {
      timeout_seconds: read.seconds("timeout"),
      token_required: tokenRequired,
      monitoring_subject: true,
    },
  };
}

/** iptables where a flag names it, and else nftables. */
function toBackend(read: FlagReader): Record<string, string> {
  const [iptables, ip6tables] = [read.text("address.iptables"), read.text("address.ip6tables")];
  if (iptables === "" && ip6tables === "") return {};
  return {
    backend: "iptables",
    ...(iptables !== "" && { iptables_file: iptables }),
    ...(ip6tables !== "" && { ip6tables_file: ip6tables }),
  };
}

const unitSeconds: Readonly<Record<string, number>> = {
  h: 3_600,
  m: 60,
  s: 1,
  ms: 0.001,
  us: 1e-6,
  µs: 1e-6,
  ns: 1e-9,
};

/** Reads values of flags; what is wrong becomes a fault. */
class FlagReader {
  readonly #values: Readonly<Record<string, string>>;
  readonly #faults: ConfigFault[];

  constructor(values: Readonly<Record<string, string>>, faults: ConfigFault[]) {
    this.#values = values;
    this.#faults = faults;
  }

  fault(name: string, message: string): void {
    this.#faults.push({ path: `-${name}`, message });
  }

  text(name: string): string {
    return this.#values[name] ?? "";
  }

  list(name: string): readonly string[] {
    return this.text(name)
      .split(",")
      .map((item) => item.trim())
      .filter((item) => item !== "");
  }

  boolean(name: string): boolean {
    const value = this.text(name);
    const isTrue = ["1", "t", "T", "true", "TRUE", "True"].includes(value);
    if (!isTrue && !["0", "f", "F", "false", "FALSE", "False"].includes(value))
      this.fault(name, "must be true or false");
    return isTrue;
  }

  integer(name: string): number {
    const value = this.text(name);
    if (!/^\d{1,15}$/.test(value)) this.fault(name, "must be a whole number");
    return Number(value);
  }

  network(name: string): string {
    const value = this.text(name);
    if (!["tcp", "tcp4", "tcp6"].includes(value)) this.fault(name, "must be one of tcp, tcp4, tcp6");
    return value;
  }

  /** `host:port`, or `:port` for every address. */
  address(name: string, everyAddress: string): { readonly text: string; readonly port: number } {
    const [, host = "", port = ""] = /^(.*):(\d{1,5})$/s.exec(this.text(name)) ?? [];
    if (port === "" || Number(port) > 65_535) this.fault(name, "must be host:port, or :port");
    return { text: `${host === "" ? everyAddress : host}:${port}`, port: Number(port) };
  }

  /** A duration as Go writes it; no less than a second. */
  seconds(name: string): number {
    const value = this.text(name);
    if (!/^(\d+(\.\d+)?(h|ms|m|s|us|µs|ns))+$/.test(value)) this.fault(name, "must be a duration, as in 1m30s");
    let seconds = 0;
    for (const [, number, unit = ""] of value.matchAll(/([\d.]+)(h|ms|m|s|us|µs|ns)/g))
      seconds += Number(number) * (unitSeconds[unit] ?? 0);
    return Math.max(1, Math.ceil(seconds));
  }

  port(item: string): { readonly protocol: string; readonly port: number } {
    const [, protocol = "", port = ""] = /^(tcp|udp)\/(\d{1,5})$/.exec(item) ?? [];
    if (protocol === "") this.fault("sandgate.guarded", "must be a list of ports, as in tcp/443,udp/443");
    return { protocol, port: Number(port) };
  }
}
