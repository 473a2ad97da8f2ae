/**
 * What the probe runs as a process of the workload, on the runtime that workloads have: it tries what none of them must be able to do, and
 * prints what it met as JSON. CommonJS, without dependencies, because it is passed as text; it is stringified, so nothing outside of it exists.
 */
export const probeScript: string = `(${(
  () => {
    const fs = process.getBuiltinModule("node:fs");
    const net = process.getBuiltinModule("node:net");
    const dgram = process.getBuiltinModule("node:dgram");
    const { paths, filtered, container } = JSON.parse(process.argv[1] ?? "{}") as {
      paths: string[];
      filtered: boolean;
      container: boolean;
    };
    const findings: { name: string; confined: boolean; detail: string }[] = [];
    const note = (name: string, breaches: readonly (string | undefined)[], fine: string): void => {
      const met = breaches.filter((breach) => breach !== undefined);
      findings.push({ name, confined: met.length === 0, detail: met.length === 0 ? fine : met.slice(0, 3).join("; ") });
    };
    const codeOf = (error: unknown): string => String((error as { code?: unknown }).code ?? error);
    /** Refusals that mean that there is no way; anything else, a time-out too, is no proof. */
    const noWay = ["ENETUNREACH", "EHOSTUNREACH", "EADDRNOTAVAIL", "EAFNOSUPPORT", "EACCES", "EPERM", "ENOENT"];

    const dial = (options: import("node:net").NetConnectOpts, label: string): Promise<string | undefined> =>
      new Promise((resolve) => {
        const socket = net.connect(options);
        const timer = setTimeout(() => settle(`${label}: no refusal`), 1_000);
        const settle = (outcome: string | undefined): void => {
          clearTimeout(timer);
          socket.destroy();
          resolve(outcome);
        };
        socket.once("connect", () => settle(`${label}: connected`));
        socket.once("error", (error) =>
          settle(noWay.includes(codeOf(error)) ? undefined : `${label}: ${codeOf(error)}`),
        );
      });
    const ask = (family: "udp4" | "udp6", address: string): Promise<string | undefined> =>
      new Promise((resolve) => {
        const socket = dgram.createSocket(family);
        socket.once("error", (error) =>
          resolve(noWay.includes(codeOf(error)) ? undefined : `${address}: ${codeOf(error)}`),
        );
        socket.send(Buffer.alloc(12), 53, address, (error) => {
          socket.close();
          resolve(error === null || !noWay.includes(codeOf(error)) ? `${address}: sent` : undefined);
        });
      });
    const openable = (path: string): string | undefined => {
      try {
        fs.closeSync(fs.openSync(path, "r"));
        return `${path} can be opened`;
      } catch (error) {
        return noWay.includes(codeOf(error)) ? undefined : `${path}: ${codeOf(error)}`;
      }
    };
    const writable = (directory: string): string | undefined => {
      try {
        fs.writeFileSync(`${directory}/.sandgate-probe`, "");
        return `${directory} can be written`;
      } catch {
        return undefined;
      }
    };
    const status = (pid: string): Map<string, string> =>
      new Map(
        fs
          .readFileSync(`/proc/${pid}/status`, "utf8")
          .split("\n")
          .map((line) => line.split(/:\s*/, 2) as [string, string]),
      );

    const filesystem = (): void => {
      note("state-directory", paths.map(openable), "none of the machine's directories is there");
      note("supervisor", ["/run/sandgate", "/opt/sandgate/supervisor"].map(openable), "its files are not there");
      note(
        "read-only-system",
        ["", "/usr", "/etc", "/dev", "/opt/sandgate/bin"].map(writable),
        "nothing could be written",
      );
    };
    const processes = (): void => {
      const pids = fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name));
      // Threads have numbers of the same kind: they are its own.
      // Threads have numbers of the same kind: they are its own.
      const own = new Set(fs.readdirSync("/proc/self/task"));
      if (!container) own.add("1");
      const userOf = (pid: string): string | undefined => {
        try {
          return status(pid).get("Uid")?.split("\t")[0];
        } catch {
          return undefined; // it has ended
        }
      };
      const others = pids.filter((pid) => !own.has(pid));
      // In a container the supervisor and its init are there, as another user: they must be closed.
      const foreign = others.filter((pid) => container && userOf(pid) !== String(process.getuid?.()));
      note(
        "host-processes",
        [
          ...others.filter((pid) => !foreign.includes(pid)).map((pid) => `process ${pid} is visible`),
          ...foreign.flatMap((pid) =>
            ["environ", "maps", "fd", "cwd", "root/"].map((name) => openable(`/proc/${pid}/${name}`)),
          ),
        ],
        container ? "beside its own it sees the supervisor and its init, and into neither" : "it sees only its own",
      );
      note(
        "signals",
        Array.from({ length: 64 }, (_, index) => index + 1)
          .filter((pid) => !own.has(String(pid)))
          .map((pid) => {
            try {
              process.kill(pid, 0);
              return `process ${pid} can be signalled`;
            } catch {
              return undefined;
            }
          }),
        "no other process could be signalled",
      );
      note(
        "memory",
        pids.filter((pid) => !own.has(pid)).map((pid) => openable(`/proc/${pid}/mem`)),
        "no other process could be traced",
      );
    };
    const privileges = (): void => {
      const self = status("self");
      const sets = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
      note(
        "privileges",
        [
          ...sets.map((set) => (/^0+$/.test(self.get(set) ?? "") ? undefined : `${set} is ${self.get(set)}`)),
          self.get("NoNewPrivs") === "1" ? undefined : "new privileges can be gained",
          process.getuid?.() === 0 ? "it is root" : undefined,
          !filtered || self.get("Seccomp") === "2" ? undefined : "system calls are not filtered",
        ],
        "no capability, no new privileges",
      );
    };
    const credentials = (): void => {
      const token = /eyJ[\w-]+\.[\w-]+\.[\w-]+/;
      const secret = (text: string): boolean =>
        token.test(text) ||
        text.includes("-----BEGIN") ||
        (text.startsWith("SANDGATE_") && text !== "SANDGATE_IDENTITY_SOCKET"); // a path
      note(
        "credentials",
        [
          // house-rule environment: what a workload's holds is what the probe is to find out
          ...Object.entries(process.env).map(([name, value]) =>
            secret(name) || secret(value ?? "") ? `the variable ${name}` : undefined,
          ),
          ...fs.readdirSync("/proc/self/fd").map((fd) => {
            try {
              const target = fs.readlinkSync(`/proc/self/fd/${fd}`);
              return Number(fd) <= 2 || /^(anon_inode|pipe):|^\/dev\/null$|^\/proc\//.test(target)
                ? undefined
                : `descriptor ${fd}`;
            } catch {
              return undefined;
            }
          }),
          ...["/proc/1/environ", "/proc/1/cmdline"].map((path) => {
            try {
              return token.test(fs.readFileSync(path, "utf8")) ? path : undefined;
            } catch {
              return undefined;
            }
          }),
        ],
        "none in its environment, descriptors or process table",
      );
    };

    const network = async (): Promise<void> => {
      const interfaces = fs
        .readFileSync("/proc/net/dev", "utf8")
        .split("\n")
        .flatMap((line) => (/^\s*([^\s:]+):/.exec(line)?.[1] ?? "lo").trim())
        .filter((name) => name !== "lo");
      note(
        "network",
        [
          ...interfaces.map((name) => `there is an interface ${name}`),
          ...(await Promise.all([
            dial({ host: "1.1.1.1", port: 443 }, "1.1.1.1:443"),
            dial({ host: "169.254.169.254", port: 80 }, "169.254.169.254:80"),
            dial({ host: "10.0.0.1", port: 443 }, "10.0.0.1:443"),
            dial({ host: "2606:4700:4700::1111", port: 443 }, "[2606:4700:4700::1111]:443"),
          ])),
        ],
        "there is nothing but loopback",
      );
      note("dns", await Promise.all([ask("udp4", "1.1.1.1"), ask("udp4", "8.8.8.8")]), "no resolver could be reached");
      const sockets = [
        "control/enrol.sock",
        "control/auth.sock",
        "control/policy.sock",
        "control/control.sock",
        "egress/egress.sock",
      ];
      const places = [
        ...sockets.map((socket) => `/run/sandgate/${socket}`),
        ...paths.flatMap((path) => [`${path}/enrol.sock`, `${path}/control.sock`, `${path}/egress.sock`]),
      ];
      note(
        "sockets",
        await Promise.all(places.map((path) => dial({ path }, path))),
        "none of the control plane's could be reached",
      );
    };

    filesystem();
    processes();
    privileges();
    credentials();
    void network().then(() => process.stdout.write(JSON.stringify(findings)));
  }
).toString()})()`;
