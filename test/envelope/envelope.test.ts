import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { type CryptoKey, exportJWK, generateKeyPair, SignJWT } from "jose";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { EnvelopeProgram } from "./envelope-program.ts";
import { guarded, type HostName, hosts, TestNetwork } from "./test-network.ts";

const SERVICE_PORT = 7000;
/** Long enough for a packet over a virtual wire on a busy machine; what is dropped is waited for as long. */
const WAIT_MS = 1_000;

let network: TestNetwork;
let directory: string;
let key: CryptoKey;
const running = new Set<EnvelopeProgram>();

beforeAll(async () => {
  network = await TestNetwork.create();
  await network.host("guarded").do({ do: "listen", port: SERVICE_PORT });
  const pair = await generateKeyPair("EdDSA", { crv: "Ed25519", extractable: true });
  key = pair.privateKey;
  directory = mkdtempSync(join(tmpdir(), "envelope-"));
  writeFileSync(join(directory, "key.json"), JSON.stringify({ ...(await exportJWK(pair.publicKey)), kid: "1" }));
});

afterAll(async () => {
  await network?.remove();
  rmSync(directory, { recursive: true });
});

beforeEach(async () => {
  await network.nft("flush", "ruleset");
});

async function endAll(): Promise<void> {
  for (const program of running) await program.end("SIGKILL");
  running.clear();
}

afterEach(async () => {
  await endAll();
  rmSync(join(directory, "state"), { recursive: true, force: true });
});

function settings(over: object = {}): Record<string, unknown> {
  return {
    admin: { port: 0 },
    address: "[::]:0",
    insecure: true,
    state_directory: join(directory, "state"),
    machine: "mlab1.lga03",
    service: "ndt",
    guarded: [
      { protocol: "tcp", port: SERVICE_PORT },
      { protocol: "udp", port: SERVICE_PORT },
    ],
    tokens: { issuer: "locate", key_files: [join(directory, "key.json")] },
    ...over,
  };
}

async function start(over: object = {}): Promise<EnvelopeProgram> {
  const program = await EnvelopeProgram.start(network.namespace("guarded"), directory, settings(over));
  running.add(program);
  return program;
}

async function end(program: EnvelopeProgram, signal: NodeJS.Signals): Promise<number | null> {
  running.delete(program);
  return await program.end(signal);
}

/** A token for `lifeS` seconds. */
async function token(lifeS = 60, claims: Record<string, unknown> = {}): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  return await new SignJWT({ jti: crypto.randomUUID(), ...claims })
    .setProtectedHeader({ alg: "EdDSA", kid: "1" })
    .setIssuer("locate")
    .setSubject("ndt")
    .setAudience("mlab1.lga03")
    .setIssuedAt(now)
    .setExpirationTime(now + lifeS)
    .sign(key);
}

/** Asks for a grant; the socket stays open if it is one. */
async function ask(from: HostName, program: EnvelopeProgram, bearer: string, family: "v4" | "v6" = "v4") {
  const { head = "", socket } = await network.host(from).do({
    do: "ask",
    host: guarded[family],
    port: program.port,
    lines: [
      "GET /v0/envelope/access HTTP/1.1",
      "Host: envelope",
      "Connection: Upgrade",
      "Upgrade: websocket",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: aGVsbG8K",
      `Authorization: Bearer ${bearer}`,
    ],
  });
  return { status: Number(head.split(" ")[1]), head, socket: socket ?? 0 };
}

async function connects(from: HostName, family: "v4" | "v6" = "v4"): Promise<number | undefined> {
  const connection = { host: guarded[family], port: SERVICE_PORT, waitMs: WAIT_MS };
  return (await network.host(from).do({ do: "connect", ...connection })).socket;
}

async function echoes(from: HostName, socket: number | undefined): Promise<boolean | undefined> {
  return (await network.host(from).do({ do: "echo", socket: socket ?? 0, waitMs: WAIT_MS })).answered;
}

async function datagramEchoes(from: HostName, family: "v4" | "v6" = "v4", bytes = 8): Promise<boolean | undefined> {
  const datagram = { host: guarded[family], port: SERVICE_PORT, waitMs: WAIT_MS, bytes };
  return (await network.host(from).do({ do: "echo-datagram", ...datagram })).answered;
}

/** All rules of the host, but those of envelopes. */
async function othersRules(): Promise<string> {
  const all = await network.nft("list", "ruleset");
  return all.replaceAll(/table inet sandgate_envelope_\w+ \{\n(?:\t.*\n|\n)*\}\n/g, "");
}

describe("the guard", () => {
  it("EW-01, EW-03, EW-10: lets in the client with a lease over TCP and UDP, and nobody else, not even in its /24", async () => {
    const program = await start();
    expect(await connects("client")).toBeUndefined();
    expect((await ask("client", program, await token())).status).toBe(101);
    expect(await connects("client")).toBeDefined();
    expect(await datagramEchoes("client")).toBe(true);
    for (const other of ["neighbour", "stranger"] as const) {
      expect(await connects(other)).toBeUndefined();
      expect(await datagramEchoes(other)).toBe(false);
    }
  });

  it("EW-01: lets in one IPv6 address, not its /64, whole datagrams and those in fragments", async () => {
    const program = await start();
    expect((await ask("client", program, await token(), "v6")).status).toBe(101);
    expect(await connects("client", "v6")).toBeDefined();
    expect(await datagramEchoes("client", "v6", 4_000)).toBe(true);
    expect(await connects("neighbour", "v6")).toBeUndefined();
    expect(await datagramEchoes("neighbour", "v6", 4_000)).toBe(false);
    expect(await connects("client", "v4")).toBeUndefined();
  });

  it("EW-22: lets in both addresses of a client whose token names them, and shuts out both", async () => {
    const program = await start();
    const client_ips = [hosts.client.v4, hosts.client.v6];
    const grant = await ask("client", program, await token(60, { client_ips }), "v6");
    expect(grant.status).toBe(101);
    expect(await connects("client", "v4")).toBeDefined();
    expect(await connects("client", "v6")).toBeDefined();
    expect(await connects("neighbour", "v4")).toBeUndefined();
    expect((await ask("neighbour", program, await token(60, { client_ips }))).status).toBe(403);
    await network.host("client").do({ do: "close", socket: grant.socket });
    await expect.poll(() => connects("client", "v4"), { timeout: 10_000 }).toBeUndefined();
    expect(await connects("client", "v6")).toBeUndefined();
  });

  it("guards what comes in by one network device, if so set", async () => {
    await start({ firewall: { device: "near" } });
    expect(await connects("client")).toBeUndefined();
    expect(await connects("stranger")).toBeDefined();
  });

  it("EW-02, EW-20: leaves every other port as it is", async () => {
    await start();
    await network.host("guarded").do({ do: "listen", port: 7_100 });
    const connection = { host: guarded.v4, port: 7_100, waitMs: WAIT_MS };
    expect((await network.host("stranger").do({ do: "connect", ...connection })).socket).toBeDefined();
  });

  it("EW-04: ends a flow that was established, when its lease ends", async () => {
    const program = await start();
    const grant = await ask("client", program, await token());
    const flow = await connects("client");
    expect(await echoes("client", flow)).toBe(true);
    await network.host("client").do({ do: "close", socket: grant.socket });
    await expect.poll(() => echoes("client", flow), { timeout: 10_000 }).toBe(false);
    expect(await connects("client")).toBeUndefined();
  });

  it("EW-04: takes not even an answer for a lease: what the service says first opens no way back", async () => {
    await network.host("stranger").do({ do: "listen", port: 7_300 });
    const isAnswered = async () => {
      const datagram = { host: hosts.stranger.v4, port: 7_300, from: 7_400, waitMs: WAIT_MS, bytes: 8 };
      return (await network.host("guarded").do({ do: "echo-datagram", ...datagram })).answered;
    };
    expect(await isAnswered()).toBe(true);
    await start({ guarded: [{ protocol: "udp", port: 7_400 }] });
    expect(await isAnswered()).toBe(false);
  });

  it("EW-06: touches no rule of others, from its start to its end", async () => {
    await network.nft(
      "add table ip others; add chain ip others input { type filter hook input priority 0; policy accept; }",
    );
    await network.nft("add rule ip others input tcp dport 9 counter drop");
    const before = await othersRules();
    expect(before).toContain("dport 9");
    const program = await start();
    expect((await ask("client", program, await token())).status).toBe(101);
    expect(await othersRules()).toBe(before);
    await end(program, "SIGTERM");
    expect(await othersRules()).toBe(before);
  });

  it.each([
    ["flushes it", ["flush", "ruleset"]],
    ["empties its chain", ["flush", "chain", "inet", "sandgate_envelope_default", "input"]],
    ["adds a rule to it", ["insert", "rule", "inet", "sandgate_envelope_default", "guard", "accept"]],
  ])("EW-08: is made new at once, with who is in, when someone %s", async (_, command) => {
    const program = await start();
    const table = () => network.nft("--terse", "list", "table", "inet", "sandgate_envelope_default");
    const made = await table();
    expect((await ask("client", program, await token())).status).toBe(101);
    const changedAt = performance.now();
    await network.nft(...command);
    await expect.poll(() => table().catch(() => ""), { interval: 20, timeout: 4_000 }).toBe(made);
    expect(performance.now() - changedAt).toBeLessThan(4_000); // it looks by itself every five seconds
    expect(await connects("neighbour")).toBeUndefined();
    expect(await connects("client")).toBeDefined();
  });

  it("EW-08: goes on when its nft, and the one that follows the rules, are killed", async () => {
    const program = await start();
    const grant = await ask("client", program, await token());
    expect(grant.status).toBe(101);
    for (const pid of await network.processes("nft")) process.kill(pid, "SIGKILL");
    expect((await ask("neighbour", program, await token())).status).toBe(101);
    expect(await connects("neighbour")).toBeDefined();
    expect(await connects("client")).toBeDefined();
    await network.nft("flush", "ruleset");
    await expect.poll(() => connects("stranger"), { timeout: 15_000 }).toBeUndefined();
    await network.host("client").do({ do: "close", socket: grant.socket });
    await expect.poll(() => connects("client"), { timeout: 10_000 }).toBeUndefined();
    await end(program, "SIGKILL");
    const processesAfterChange = async () => {
      await network.nft("add table ip wake; add chain ip wake c; add rule ip wake c accept; delete table ip wake");
      return await network.processes("nft"); // one that nobody hears any more ends when it has something to tell
    };
    await expect.poll(processesAfterChange).toEqual([]);
  });
});

describe("as M-Lab's envelope", () => {
  const curl = async (...words: readonly string[]): Promise<string> => {
    const { stdout } = await promisify(execFile)("ip", [
      ...["netns", "exec", network.namespace("guarded"), "curl", "--silent", "--max-time", "30"],
      ...words,
    ]);
    return stdout;
  };

  it("A.3, E-14, E-44: runs with its flags, and its example with curl works as printed", async () => {
    const program = await EnvelopeProgram.start(network.namespace("guarded"), directory, [
      "--compatible",
      ...["-envelope.verify-key", join(directory, "key.json"), "-envelope.machine=mlab1.lga03"],
      ...["-envelope.subject=ndt", "-envelope.device", "near", "-timeout=1s", "-prometheusx.listen-address=:9990"],
      ...[`-sandgate.guarded=tcp/${SERVICE_PORT}`, "-sandgate.state-directory", join(directory, "state")],
    ]);
    running.add(program);
    const answer = await curl(
      ...["--include", "--no-buffer"],
      ...["--header", "Connection: Upgrade", "--header", "Upgrade: websocket"],
      ...["--header", "Sec-WebSocket-Key: aGVsbG8K", "--header", "Sec-WebSocket-Version: 13"],
      ...["--header", "Sec-WebSocket-Protocol: net.measurementlab.envelope"],
      `http://localhost:8880/v0/envelope/access?access_token=${await token(1, { jti: undefined, iat: undefined })}`,
    ).catch((error: { stdout: string }) => error.stdout); // the end of a WebSocket is an error to some versions of curl
    expect(answer).toMatch(/^HTTP\/1\.1 101 Switching Protocols\r\n/);
    expect(answer).toContain("Sec-WebSocket-Protocol: net.measurementlab.envelope\r\n");
    expect(await connects("client")).toBeUndefined();
    await expect
      .poll(() => curl("http://localhost:9990/metrics"))
      .toContain('envelope_requests_total{status="success"} 1');
    expect(program.logs.join("\n")).toContain('"envelope.machine":"mlab1.lga03"');
    expect(await end(program, "SIGTERM")).toBe(0);
  });
});

describe("the command line", () => {
  const sandgate = join(import.meta.dirname, "../../dist/sandgate.mjs");

  it("A.12: runs a command in a granted window, and not a moment longer", async () => {
    const program = await start();
    const tokenFile = join(directory, "token");
    writeFileSync(tokenFile, await token());
    const script = `require("node:net").connect(${SERVICE_PORT}, process.env.SERVICE_HOSTNAME).setTimeout(${WAIT_MS}, () => process.exit(9)).on("connect", () => process.exit(3))`;
    const words = ["--url", `http://${guarded.v4}:${program.port}`, "--insecure", "--token-file", tokenFile];
    const running = promisify(execFile)("ip", [
      ...["netns", "exec", network.namespace("client"), process.execPath, sandgate],
      ...["envelope", "exec", ...words, "--", process.execPath, "--eval", script],
    ]);
    await expect(running).rejects.toMatchObject({ code: 3 });
    await expect.poll(() => connects("client"), { timeout: 10_000 }).toBeUndefined();
  });
});

describe("the end of a lease", () => {
  it("EW-13, E-42, E-43: comes when the token expires, with a close frame", async () => {
    const program = await start();
    const grant = await ask("client", program, await token(3));
    expect(grant.status).toBe(101);
    const { hex } = await network.host("client").do({ do: "read-to-end", socket: grant.socket });
    expect(hex).toMatch(/^88..03e8/);
    await expect.poll(() => connects("client"), { timeout: 10_000 }).toBeUndefined();
  });

  it("E-42: comes with any byte of the client", async () => {
    const program = await start();
    const grant = await ask("client", program, await token());
    expect(await connects("client")).toBeDefined();
    await network.host("client").do({ do: "write", socket: grant.socket, hex: "8900" });
    await expect.poll(() => connects("client"), { timeout: 10_000 }).toBeUndefined();
  });

  it("EW-05: comes from the kernel when the program was killed, no later than the deadline", async () => {
    const program = await start();
    const expiresAt = (Math.floor(Date.now() / 1000) + 4) * 1000;
    expect((await ask("client", program, await token(4))).status).toBe(101);
    const flow = await connects("client");
    const before = await othersRules();
    await end(program, "SIGKILL");
    expect(await echoes("client", flow)).toBe(true);
    await expect
      .poll(() => network.nft("list", "set", "inet", "sandgate_envelope_default", "lease4"), {
        timeout: 10_000,
        interval: 20,
      })
      .not.toContain("10.99.0.2");
    expect(Date.now()).toBeLessThan(expiresAt + 1_000);
    expect(await echoes("client", flow)).toBe(false);
    expect(await connects("client")).toBeUndefined();
    expect(await othersRules()).toBe(before);
  });

  it("EW-05: a start after a crash leaves no lease of the earlier life", async () => {
    const killed = await start();
    expect((await ask("client", killed, await token())).status).toBe(101);
    await end(killed, "SIGKILL");
    expect(await connects("client")).toBeDefined();
    await start();
    expect(await connects("client")).toBeUndefined();
  });

  it("EW-05: SIGTERM ends every lease, tells the clients, and leaves the ports shut", async () => {
    const program = await start();
    const grant = await ask("client", program, await token());
    const farewell = network.host("client").do({ do: "read-to-end", socket: grant.socket });
    expect(await end(program, "SIGTERM")).toBe(0);
    expect((await farewell).hex).toMatch(/^88..03e9/);
    expect(await connects("client")).toBeUndefined();
    expect(program.logs.join("\n")).toContain("the guarded ports stay shut");
    await network.nft("delete", "table", "inet", "sandgate_envelope_default");
    expect(await connects("client")).toBeDefined();
  });

  it("EW-18: an address is in until the last of its leases ends", async () => {
    const program = await start();
    const first = await ask("client", program, await token());
    const second = await ask("client", program, await token());
    await network.host("client").do({ do: "close", socket: first.socket });
    await expect.poll(() => program.logs.filter((line) => line.includes('"ended"')).length).toBe(1);
    expect(await connects("client")).toBeDefined();
    await network.host("client").do({ do: "close", socket: second.socket });
    await expect.poll(() => connects("client"), { timeout: 10_000 }).toBeUndefined();
  });
});

describe("who may ask", () => {
  it("E-45, EW-18: at full capacity another address is told when to come back", async () => {
    const program = await start({ lease: { capacity: 1 } });
    expect((await ask("client", program, await token())).status).toBe(101);
    const refused = await ask("neighbour", program, await token());
    expect(refused).toMatchObject({ status: 503, head: expect.stringMatching(/retry-after: \d+/) });
    expect((await ask("client", program, await token())).status).toBe(101);
  });

  it("EW-09: a token lets in one address once, and that one again, also after a restart", async () => {
    const first = await start();
    const bearer = await token();
    expect((await ask("client", first, bearer)).status).toBe(101);
    expect((await ask("neighbour", first, bearer)).status).toBe(401);
    await end(first, "SIGKILL");
    const second = await start();
    expect((await ask("neighbour", second, bearer)).status).toBe(401);
    expect((await ask("client", second, bearer)).status).toBe(101);
    expect(await connects("neighbour")).toBeUndefined();
  });

  it("100 grants of one address at once are one hole, and none when they have ended", async () => {
    const program = await start({ lease: { capacity: 1 } });
    const tokens = await Promise.all(Array.from({ length: 100 }, () => token()));
    const grants = await Promise.all(tokens.map((bearer) => ask("client", program, bearer)));
    expect(new Set(grants.map(({ status }) => status))).toEqual(new Set([101]));
    expect(await connects("client")).toBeDefined();
    await Promise.all(grants.map(({ socket }) => network.host("client").do({ do: "close", socket })));
    await expect.poll(() => connects("client"), { timeout: 10_000 }).toBeUndefined();
  });
});

describe("on one host", () => {
  it("two instances guard their ports each for itself", async () => {
    await network.host("guarded").do({ do: "listen", port: 7_200 });
    const one = await start();
    const two = await start({ instance: "two", guarded: [{ protocol: "tcp", port: 7_200 }] });
    expect((await ask("client", two, await token())).status).toBe(101);
    const connection = { host: guarded.v4, port: 7_200, waitMs: WAIT_MS };
    expect((await network.host("client").do({ do: "connect", ...connection })).socket).toBeDefined();
    expect(await connects("client")).toBeUndefined();
    await end(two, "SIGTERM");
    expect((await ask("client", one, await token())).status).toBe(101);
    expect(await connects("client")).toBeDefined();
  });

  it("a second one of the same name does not start", async () => {
    await start();
    await expect(start()).rejects.toThrow("another envelope of this name runs");
  });

  it("EW-21: does not start without nft, and says the mend", async () => {
    await expect(start({ firewall: { nft_file: "/nowhere/nft" } })).rejects.toThrow(
      "exit code 2: envelope: /nowhere/nft is missing: install the package nftables",
    );
  });

  it("E-47: answers 500 while nft does nothing, lets nobody in, and comes back", async () => {
    const broken = join(directory, "broken");
    const wrapper = join(directory, "nft-that-breaks");
    const check = `[ -e ${broken} ] && exit 1`;
    writeFileSync(wrapper, `#!/bin/sh\n[ "$1" = -i ] && exit 1\n${check}\nexec /usr/sbin/nft "$@"\n`, { mode: 0o755 });
    const program = await start({ firewall: { nft_file: wrapper }, lease: { capacity: 1 } });
    writeFileSync(broken, "");
    const refused = await ask("client", program, await token());
    expect([refused.status, await connects("client")]).toEqual([500, undefined]);
    rmSync(broken);
    await expect.poll(async () => (await ask("neighbour", program, await token())).status).toBe(101);
    expect(await connects("neighbour")).toBeDefined();
    expect(await connects("client")).toBeUndefined();
  });

  it("EW-21: does not start without the capability, and says the mend", async () => {
    const drops = join(directory, "nft-without-capability");
    writeFileSync(
      drops,
      '#!/bin/sh\nexec setpriv --bounding-set=-net_admin --inh-caps=-net_admin /usr/sbin/nft "$@"\n',
      {
        mode: 0o755,
      },
    );
    await expect(start({ firewall: { nft_file: drops } })).rejects.toThrow("give it the capability CAP_NET_ADMIN");
  });
});

describe.each(["iptables-nft", "iptables-legacy"])("the guard by %s", (iptables) => {
  const ip6tables = iptables.replace("iptables", "ip6tables");
  const firewall = {
    backend: "iptables",
    iptables_file: `/usr/sbin/${iptables}`,
    ip6tables_file: `/usr/sbin/${ip6tables}`,
  };
  const rules = async () => {
    const tables = [iptables, ip6tables].flatMap((program) =>
      ["filter", "mangle"].map((table) => [program, table] as const),
    );
    const all = await Promise.all(tables.map(([program, table]) => network.run(program, "-t", table, "-S")));
    return all
      .join("")
      .split("\n")
      .filter((rule) => !rule.includes("sandgt_"));
  };

  afterEach(async () => {
    await endAll(); // who lives makes its guard new
    for (const program of [iptables, ip6tables])
      for (const table of ["filter", "mangle"])
        for (const command of ["-F", "-X"]) await network.run(program, "-t", table, command);
    await network.run("ipset", "destroy");
  });

  it("EW-01, EW-04: lets in the client with a lease alone, over both protocols, and ends its flow with the lease", async () => {
    const program = await start({ firewall });
    expect(await connects("client")).toBeUndefined();
    const grant = await ask("client", program, await token(60, { client_ips: [hosts.client.v4, hosts.client.v6] }));
    expect(grant.status).toBe(101);
    const flow = await connects("client");
    expect(await echoes("client", flow)).toBe(true);
    expect([await datagramEchoes("client"), await datagramEchoes("client", "v6", 4_000)]).toEqual([true, true]);
    expect([await connects("neighbour"), await connects("neighbour", "v6")]).toEqual([undefined, undefined]);
    expect([await datagramEchoes("stranger"), await datagramEchoes("neighbour", "v6", 4_000)]).toEqual([false, false]);
    await network.host("client").do({ do: "close", socket: grant.socket });
    await expect.poll(() => echoes("client", flow), { timeout: 10_000 }).toBe(false);
    expect(await connects("client", "v6")).toBeUndefined();
  });

  it("EW-05: the kernel ends a lease when the program was killed, and the ports stay shut", async () => {
    const program = await start({ firewall });
    const expiresAt = (Math.floor(Date.now() / 1000) + 4) * 1000;
    expect((await ask("client", program, await token(4))).status).toBe(101);
    const flow = await connects("client");
    await end(program, "SIGKILL");
    expect(await echoes("client", flow)).toBe(true);
    await expect
      .poll(() => network.run("ipset", "list", "sandgt4_default"), { timeout: 10_000, interval: 20 })
      .not.toContain(hosts.client.v4);
    expect(Date.now()).toBeLessThan(expiresAt + 2_000);
    expect([await echoes("client", flow), await connects("client")]).toEqual([false, undefined]);
    await start({ firewall });
    expect(await connects("client")).toBeUndefined();
  });

  it("EW-06: touches no rule of others, and they still count", async () => {
    await network.run(
      iptables,
      "-A",
      "INPUT",
      "-p",
      "tcp",
      "--dport",
      String(SERVICE_PORT),
      "-s",
      hosts.neighbour.v4,
      "-j",
      "DROP",
    );
    await network.run(iptables, "-t", "mangle", "-A", "INPUT", "-p", "tcp", "-j", "ACCEPT");
    const before = await rules();
    const program = await start({ firewall });
    expect(await connects("client")).toBeUndefined();
    for (const host of ["client", "neighbour"] as const)
      expect((await ask(host, program, await token())).status).toBe(101);
    expect([await connects("client"), await connects("neighbour")]).toEqual([expect.any(Number), undefined]);
    expect(await rules()).toEqual(before);
    expect(await end(program, "SIGTERM")).toBe(0);
    expect(await connects("client")).toBeUndefined();
    expect(await rules()).toEqual(before);
  });

  it.each([
    ["flushes it", ["-F"]],
    ["puts a rule before it", ["-I", "INPUT", "-j", "ACCEPT"]],
    ["takes its jump away", ["-D", "INPUT", "-j", "sandgt_default"]],
  ])("EW-08: is made new, with who is in, when someone %s", async (_, command) => {
    const program = await start({ firewall });
    expect((await ask("client", program, await token())).status).toBe(101);
    await network.run(iptables, "-t", "mangle", ...command);
    await expect.poll(() => connects("neighbour"), { timeout: 10_000 }).toBeUndefined();
    expect(await connects("client")).toBeDefined();
  });

  it("EW-21: does not start without ipset, and says the mend", async () => {
    await expect(start({ firewall: { ...firewall, ipset_file: "/nowhere/ipset" } })).rejects.toThrow(
      "/nowhere/ipset is missing: install the package ipset, or set firewall.ipset_file",
    );
  });
});
