import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { HostAnswer, HostTask } from "./host-messages.ts";

const run = promisify(execFile);

/** Every host of the network: its addresses, and the host's own on the same wire. */
export const hosts = {
  client: { v4: "10.99.0.2", v6: "fd00:99::2" },
  neighbour: { v4: "10.99.0.3", v6: "fd00:99::3" },
  stranger: { v4: "10.98.0.2", v6: "fd00:98::2" },
} as const;

export type HostName = keyof typeof hosts;

/** The guarded host's addresses, on the wire of the client and its neighbour. The stranger has a way there too. */
export const guarded = { v4: "10.99.0.1", v6: "fd00:99::1" } as const;

/** Network namespaces: the guarded host, a client and a neighbour in one /24 and one /64, and a stranger beyond. */
export class TestNetwork {
  readonly #names: readonly string[];
  readonly #prefix: string;
  readonly #hosts = new Map<string, NetworkHost>();

  private constructor(prefix: string) {
    this.#prefix = prefix;
    this.#names = ["guarded", ...Object.keys(hosts)];
  }

  static async create(): Promise<TestNetwork> {
    const network = new TestNetwork(`sge-${process.pid}`);
    for (const name of network.#names) {
      await run("ip", ["netns", "add", network.namespace(name)]);
      await network.ip(name, "link", "set", "lo", "up");
    }
    await network.ip("guarded", "link", "add", "near", "type", "bridge");
    await network.ip("guarded", "link", "add", "far", "type", "bridge");
    for (const [name, { v4, v6 }] of Object.entries(hosts)) {
      const bridge = name === "stranger" ? "far" : "near";
      await network.ip(
        "guarded",
        "link",
        "add",
        name,
        "type",
        "veth",
        "peer",
        "name",
        "eth0",
        "netns",
        network.namespace(name),
      );
      await network.ip("guarded", "link", "set", name, "master", bridge, "up");
      await network.ip(name, "addr", "add", `${v4}/24`, "dev", "eth0");
      await network.ip(name, "addr", "add", `${v6}/64`, "dev", "eth0", "nodad");
      await network.ip(name, "link", "set", "eth0", "up");
    }
    for (const [bridge, net] of [
      ["near", "99"],
      ["far", "98"],
    ] as const) {
      await network.ip("guarded", "addr", "add", `10.${net}.0.1/24`, "dev", bridge);
      await network.ip("guarded", "addr", "add", `fd00:${net}::1/64`, "dev", bridge, "nodad");
      await network.ip("guarded", "link", "set", bridge, "up");
    }
    await network.ip("stranger", "route", "add", "default", "via", "10.98.0.1");
    await network.ip("stranger", "route", "add", "default", "via", "fd00:98::1");
    await Promise.all(network.#names.map((name) => network.#startHost(name)));
    return network;
  }

  namespace(name: string): string {
    return `${this.#prefix}-${name}`;
  }

  async nft(...args: readonly string[]): Promise<string> {
    return await this.run("nft", ...args);
  }

  /** Runs a program on the guarded host, and answers what it prints. */
  async run(program: string, ...args: readonly string[]): Promise<string> {
    return (await run("ip", ["netns", "exec", this.namespace("guarded"), program, ...args])).stdout;
  }

  /** Processes of this name in the guarded host's namespace. */
  async processes(name: string): Promise<readonly number[]> {
    const { stdout } = await run("ip", ["netns", "pids", this.namespace("guarded")]);
    const pids = stdout.split("\n").filter((line) => line !== "");
    const nameOf = (pid: string) => readFile(`/proc/${pid}/comm`, "utf8").catch(() => "");
    const names = await Promise.all(pids.map(nameOf));
    return pids.filter((_, index) => names[index]?.trim() === name).map(Number);
  }

  async ip(name: string, ...args: readonly string[]): Promise<void> {
    await run("ip", ["-n", this.namespace(name), ...args]);
  }

  host(name: HostName | "guarded"): NetworkHost {
    const host = this.#hosts.get(name);
    if (host === undefined) throw new Error("no such host");
    return host;
  }

  async remove(): Promise<void> {
    await Promise.all([...this.#hosts.values()].map((host) => host.stop()));
    for (const name of this.#names) await run("ip", ["netns", "del", this.namespace(name)]);
  }

  async #startHost(name: string): Promise<void> {
    this.#hosts.set(name, await NetworkHost.start(this.namespace(name)));
  }
}

/** A process in one namespace that does what it is asked. */
export class NetworkHost {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, PromiseWithResolvers<HostAnswer>>();
  #nextId = 1;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on("message", ({ id, error, ...answer }: HostAnswer & { id: number; error?: string }) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(answer);
      else waiting?.reject(new Error(error));
    });
  }

  static async start(namespace: string): Promise<NetworkHost> {
    const program = join(import.meta.dirname, "network-host.ts");
    const child = spawn("ip", ["netns", "exec", namespace, process.execPath, program], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    const host = new NetworkHost(child);
    await once(child, "message");
    return host;
  }

  do(task: HostTask): Promise<HostAnswer> {
    const id = this.#nextId++;
    const waiting = Promise.withResolvers<HostAnswer>();
    this.#waiting.set(id, waiting);
    this.#child.send({ ...task, id });
    return waiting.promise;
  }

  async stop(): Promise<void> {
    const exited = once(this.#child, "exit");
    this.#child.disconnect();
    await exited;
  }
}
