import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { connect, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createEgressProxyModule,
  defaultLimits,
  type EgressProxyModule,
  type Limits,
  newDecisionId,
} from "@sandgate/egress-proxy";
import { type PolicyMessage, parseAuthoredPolicy } from "@sandgate/policy";
import { createLogger, createMetrics } from "@sandgate/telemetry";
import { ControlPlane, trustDomain } from "./control-plane.ts";
import { OriginServer } from "./origin-server.ts";
import { StubDns } from "./stub-dns.ts";

export const publicAddress = "93.184.216.34";

/** A sandbox with its channel and token. */
export interface BenchSandbox {
  readonly id: string;
  readonly path: string;
  readonly token: string;
}

/** Reads an authored policy. Throws where it does not pass lint. */
export function policyOf(...rules: unknown[]): PolicyMessage {
  const check = parseAuthoredPolicy({ rules });
  if (!check.ok) throw new TypeError(JSON.stringify(check.faults));
  return check.policy;
}

/** Policy P0 of the requirement, as far as rules have hosts, ports and addresses. */
export const p0 = policyOf(
  { name: "api", hosts: ["api.example.test"] },
  { name: "wild", hosts: ["*.wild.example.test"], ports: [443] },
  { name: "rest", hosts: ["rest.example.test"], ports: [80] },
  { name: "idn", hosts: ["bücher.example.test"], ports: [443] },
  { name: "priv", hosts: ["priv.example.test"], ports: [443], allowed_ips: ["10.9.0.0/16"] },
  { name: "odd", hosts: ["api.example.test"], ports: [5432] },
  { name: "secret", action: "deny", hosts: ["secret.wild.example.test"] },
);

/** The egress proxy with real sockets, a stub DNS server, recorded dials, and origins on loopback behind public addresses. */
export class ProxyBench {
  readonly control = new ControlPlane();
  readonly dns = new StubDns();
  readonly plain = new OriginServer();
  readonly tls = new OriginServer();
  readonly dials: string[] = [];
  readonly log: string[] = [];
  readonly registry = createMetrics();
  /** Added to the clock of the proxy. */
  clockSkewMs = 0;
  /** Addresses whose dial is never answered. */
  readonly silentAddresses = new Set<string>();
  /** Addresses that refuse connections. */
  readonly refusingAddresses = new Set<string>();
  readonly directory = mkdtempSync(join(tmpdir(), "sgc-"));
  readonly #clients = new Set<RawClient>();
  #proxy: EgressProxyModule | undefined;
  #plainPort = 0;
  #tlsPort = 0;

  async start(limits: Partial<Limits> = {}): Promise<void> {
    this.#plainPort = await this.plain.start("plain");
    this.#tlsPort = await this.tls.start("tls");
    const dnsServer = await this.dns.start();
    for (const name of ["api", "rest", "a.wild", "secret.wild", "xn--bcher-kva"])
      this.dns.set(`${name}.example.test`, { addresses: [publicAddress] });
    this.#proxy = createEgressProxyModule({
      auth: this.control.auth,
      policy: this.control.policy,
      trustDomain,
      egressDirectory: this.directory,
      limits: { ...defaultLimits, resolveTimeoutMs: 600, ...limits },
      dnsServers: [dnsServer],
      developmentOrigins: [],
      originAuthorities: [this.tls.authority],
      ownPorts: new Set([9901]),
      clock: () => Date.now() + this.clockSkewMs,
      newDecisionId,
      logger: createLogger({
        service: "egress-proxy",
        level: "debug",
        destination: { write: (line) => this.log.push(line) },
      }),
      registry: this.registry,
      dial: (address, port) => this.#dial(address, port),
    });
    await this.#proxy.start();
  }

  /** Gives a sandbox a directory, a token and a policy, and waits until it is enforced. */
  async addSandbox(id: string, policy: PolicyMessage = p0): Promise<BenchSandbox> {
    mkdirSync(join(this.directory, id), { recursive: true });
    const revision = this.control.setPolicy(id, policy);
    await this.control.enforced(id, revision);
    return { id, path: join(this.directory, id, "egress.sock"), token: await this.control.mint(id) };
  }

  async connect(sandbox: BenchSandbox): Promise<RawClient> {
    const client = await RawClient.open(sandbox.path);
    this.#clients.add(client);
    return client;
  }

  /** Forgets what was recorded so far. */
  forget(): void {
    this.dials.length = 0;
    this.dns.queries.length = 0;
    this.plain.received.length = 0;
    this.tls.received.length = 0;
  }

  checks(): EgressProxyModule["checks"] {
    return this.#proxy?.checks ?? {};
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.socket.destroy();
    await this.#proxy?.stop();
    await Promise.all([this.plain.stop(), this.tls.stop(), this.dns.stop()]);
    rmSync(this.directory, { recursive: true, force: true });
  }

  #dial(address: string, port: number): Socket {
    this.dials.push(`${address}:${port}`);
    if (this.silentAddresses.has(address)) return new Socket(); // never connects
    if (this.refusingAddresses.has(address)) return connect({ host: "127.0.0.1", port: 1 });
    const target = port === 443 ? this.#tlsPort : this.#plainPort;
    return connect({ host: "127.0.0.1", port: target, allowHalfOpen: true, noDelay: true });
  }
}

/** The credentials of a sandbox as a header line. */
export function basic(sandbox: BenchSandbox, token = sandbox.token): string {
  return `Proxy-Authorization: Basic ${btoa(`container_${sandbox.id}:jwt_${token}`)}`;
}

/** A client that sends bytes as they are and remembers what comes back. */
export class RawClient {
  readonly socket: Socket;
  received = Buffer.alloc(0);
  readonly closed: Promise<void>;
  #isClosed = false;
  #wake: () => void = () => undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      this.received = Buffer.concat([this.received, chunk]);
      this.#wake();
    });
    this.closed = new Promise((resolve) => {
      const done = () => {
        this.#isClosed = true;
        this.#wake();
        resolve();
      };
      socket.once("close", done);
      socket.once("end", done);
    });
  }

  static async open(path: string): Promise<RawClient> {
    const socket = connect({ path, allowHalfOpen: true });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return new RawClient(socket);
  }

  get text(): string {
    return this.received.toString("latin1");
  }

  send(bytes: string | Uint8Array): void {
    if (typeof bytes === "string") this.socket.write(bytes, "latin1");
    else this.socket.write(bytes);
  }

  /** Waits until the text holds what is looked for; throws with what came when the proxy closes first. */
  async until(found: string | RegExp): Promise<string> {
    for (;;) {
      if (typeof found === "string" ? this.text.includes(found) : found.test(this.text)) return this.text;
      if (this.#isClosed) throw new Error(`closed before ${String(found)}: ${this.text}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Waits for the end of an answer: its length's worth, or the close. */
  async reply(): Promise<Reply> {
    for (;;) {
      const reply = readReply(this.received);
      if (reply !== undefined) return reply;
      if (this.#isClosed) throw new Error(`closed without an answer: ${JSON.stringify(this.text)}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Forgets what came. */
  clear(): void {
    this.received = Buffer.alloc(0);
  }
}

/** An answer as a client sees it. */
export interface Reply {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

function readReply(bytes: Buffer): Reply | undefined {
  const text = bytes.toString("latin1");
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const [statusLine = "", ...lines] = text.slice(0, end).split("\r\n");
  const headers = new Map(
    lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
  );
  const status = Number(statusLine.split(" ")[1]);
  const length = Number(headers.get("content-length") ?? 0);
  const body = text.slice(end + 4);
  return body.length < length ? undefined : { status, headers, body: body.slice(0, length || undefined) };
}
