import { describe, expect, it } from "vitest";
import { chooseRuntimes, describeIsolation, findEngineRefusal } from "./docker-isolation.ts";
import { parseTrialReport, type TrialReport } from "./trial-script.ts";

const limits = {
  memoryBytes: 1024,
  cpus: 2,
  processes: 256,
  openFiles: 4_096,
  temporaryBytes: 512,
  workspaceBytes: undefined,
};
const good: TrialReport = {
  faults: [],
  capabilities: "00000000000001e0",
  noNewPrivileges: true,
  seccomp: true,
  interfaces: ["lo"],
  memoryBytes: 1024,
  processes: 304,
  cpus: 2,
};
const gapsOf = (trial: TrialReport, runtime?: string): readonly string[] =>
  describeIsolation({ architecture: "x64", runtime, limits, trial }).gaps.map(({ name }) => name);

describe("S0-23: the runtime", () => {
  const both = { Runtimes: { runc: {}, runsc: {} } };
  it("is gVisor's where the engine offers it, whatever is enough", () => {
    expect(chooseRuntimes(both, "container")).toEqual({ runtimes: ["runsc", undefined] });
    expect(chooseRuntimes(both, "gvisor")).toEqual({ runtimes: ["runsc"] });
  });
  it("is the engine's usual one where that is enough", () => {
    expect(chooseRuntimes({ Runtimes: { runc: {} } }, "container")).toEqual({ runtimes: [undefined] });
    expect(chooseRuntimes({}, "container")).toEqual({ runtimes: [undefined] });
  });
  it("is none, with the mend, where it is not", () => {
    expect(chooseRuntimes({ Runtimes: { runc: {} } }, "gvisor")).toMatchObject({
      refusal: { mend: expect.stringContaining("runsc install") },
    });
  });
});

describe("an engine", () => {
  it.each([
    [{ OSType: "windows" }, true, /Linux/],
    [{ OSType: "linux" }, false, /as root/],
    [{ SecurityOptions: ["name=seccomp,profile=default", "name=rootless"] }, true, /other user ids/],
    [{ SecurityOptions: ["name=userns"] }, true, /other user ids/],
  ])("of %j, asked as root: %s, is refused", (info, isRoot, fault) => {
    const refusal = findEngineRefusal(info, isRoot);
    expect(refusal?.fault).toMatch(fault);
    expect(refusal?.mend).not.toBe("");
  });
  it("of the usual kind is not", () => {
    expect(
      findEngineRefusal({ OSType: "linux", SecurityOptions: ["name=seccomp,profile=default"] }, true),
    ).toBeUndefined();
  });
});

describe("what a trial proves", () => {
  it("is guaranteed; what it does not prove is a gap with a mend", () => {
    expect(gapsOf(good)).toEqual(["own-kernel", "disk"]);
    const poor = { ...good, seccomp: false, memoryBytes: undefined, processes: undefined, cpus: 1 };
    const { gaps, guarantees } = describeIsolation({
      architecture: "riscv64",
      runtime: undefined,
      limits,
      trial: poor,
    });
    expect(gaps.map(({ name }) => name)).toEqual([
      "own-kernel",
      "system-call-filter",
      "total-memory",
      "cpu",
      "processes",
      "disk",
    ]);
    for (const { mend } of gaps) expect(mend).not.toBe("");
    expect(guarantees.join()).not.toMatch(/memory for all|system calls are filtered/);
  });

  it("bounds the disk where the workspace has a size", () => {
    const sized = describeIsolation({
      architecture: "x64",
      runtime: undefined,
      limits: { ...limits, workspaceBytes: 9 },
      trial: good,
    });
    expect(sized.gaps.map(({ name }) => name)).toEqual(["own-kernel"]);
  });

  it("is another thing under gVisor, which shows neither control groups nor a filter", () => {
    const seen = { ...good, seccomp: false, memoryBytes: undefined, processes: undefined, cpus: undefined };
    expect(gapsOf(seen, "runsc")).toEqual(["disk"]);
  });

  it.each([
    ["no report", { fault: "exec format error" }, undefined, /exec format error/],
    ["a file that cannot be read", { ...good, faults: ["taking the bootstrap file: EACCES"] }, undefined, /EACCES/],
    ["no way to the sockets", { ...good, faults: ["connecting to a socket: EPERM"] }, "runsc", /gVisor does not let/],
    ["a network", { ...good, interfaces: ["lo", "eth0"] }, undefined, /network interface/],
    ["new privileges", { ...good, noNewPrivileges: false }, undefined, /no-new-privileges/],
  ] as const)("is nothing with %s: a refusal", (_, trial, runtime, fault) => {
    const { refusal, guarantees } = describeIsolation({ architecture: "x64", runtime, limits, trial });
    expect(refusal?.fault).toMatch(fault);
    expect(refusal?.mend).not.toBe("");
    expect(guarantees).toEqual([]);
  });

  it.each(["", "{", "[]", "null", '{"faults":1}'])("is nothing where it printed %j", (text) => {
    expect(parseTrialReport(text)).toBeUndefined();
  });
});
