import { describe, expect, it } from "vitest";
import { withinHardLimits } from "./workload.ts";
import { StartFault, type WorkloadRequest, workloadCommand, workloadEnvironment } from "./workload-command.ts";

const request: WorkloadRequest = { command: ["id"], environment: {}, workingDirectory: "", terminal: false };

function command(change: Partial<WorkloadRequest>) {
  return workloadCommand({
    request: { ...request, ...change },
    settings: { workspace: "/w", temporary: "/t", limits: { openFiles: 10 } },
    hostName: "demo",
    identityDirectory: "/i",
    systemRoots: ["/usr"],
    systemLinks: [["/bin", "usr/bin"]],
    recentProgram: true,
    filtered: true,
  });
}

describe("the command line of a workload process", () => {
  it.each([
    ["a NUL in an argument", { command: ["id", "a\0--bind\0/\0/"] }],
    ["a NUL in a variable", { environment: { A: "b\0--share-net" } }],
    ["a NUL in the directory", { workingDirectory: "a\0" }],
    ["a variable that is no name", { environment: { "A=B": "c" } }],
    ["no command", { command: [] }],
    ["too many variables", { environment: Object.fromEntries(Array.from({ length: 1_001 }, (_, i) => [`V${i}`, ""])) }],
  ])("refuses %s: it would become an option of the sandbox program", (_, change) => {
    expect(() => command(change)).toThrow(StartFault);
  });

  it("passes variables where no other process of the machine reads them, and not to the sandbox program", () => {
    const { args, sandboxArguments } = command({ environment: { LD_PRELOAD: "/workspace/evil.so" } });
    expect(args.join(" ")).not.toContain("evil");
    expect(sandboxArguments.toString()).toContain("--clearenv\0--setenv\0LD_PRELOAD\0/workspace/evil.so\0");
  });

  it("limits the process and all that it starts", () => {
    expect(command({}).args.slice(0, 3)).toEqual(["--core=0:0", "--nofile=10:10", "--"]);
  });
});

describe("D-24: the environment of a workload process", () => {
  it("names the way out in both cases, and nobody can name another", () => {
    const environment = workloadEnvironment({
      sandboxId: "sbx-a",
      forwarderPort: 3128,
      own: { http_proxy: "http://evil.example", NO_PROXY: "*", PATH: "/mine" },
    });
    for (const name of ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"])
      expect(environment[name]).toBe("http://127.0.0.1:3128");
    expect(environment.no_proxy).toBe("localhost,127.0.0.1,::1");
    expect(environment.NO_PROXY).toBe("localhost,127.0.0.1,::1");
    expect(environment.PATH).toBe("/mine");
  });
});

describe("limits", () => {
  it("are no higher than the process may set them", () => {
    const text =
      "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 2000                 files\n";
    expect(withinHardLimits({ openFiles: 4_096, processes: 300 }, text)).toEqual({ openFiles: 2_000, processes: 300 });
  });
});
