import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { ExitReason } from "@sandgate/api/sandbox";
import { OutputLog } from "@sandgate/process-log";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { systemTimers } from "../timers.ts";
import { ManagedProcess } from "./managed-process.ts";
import { countOomKills } from "./oom-kills.ts";
import type { WorkloadExit, WorkloadProcess } from "./workload-process.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "managed-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** A process that ends when the test says so; the kernel has ended so many for want of memory before and after. */
function manage(oomKills: readonly (number | undefined)[]) {
  const exited = Promise.withResolvers<WorkloadExit>();
  const stdout = new PassThrough();
  const sent: string[] = [];
  const process: WorkloadProcess = {
    stdin: new PassThrough(),
    stdout,
    stderr: undefined,
    exited: exited.promise,
    signal: (signal, target) => sent.push(`${signal} ${target}`),
    kill: () => sent.push("kill"),
    resize: () => {},
    usage: () => undefined,
    discard: () => {},
  };
  let asked = 0;
  const managed = new ManagedProcess(process, {
    id: "p",
    command: ["x"],
    terminal: false,
    bounds: { timeoutMs: undefined, unattendedMs: undefined, outputBytes: undefined, keptBytes: 1024, waits: false },
    output: new OutputLog({ directory, name: "p" }),
    timers: systemTimers,
    egressRequests: () => 3,
    oomKills: () => oomKills[asked++],
  });
  const end = (exit: WorkloadExit) => {
    stdout.destroy();
    exited.resolve(exit);
    return managed.ended;
  };
  return { managed, end, sent, write: (text: string) => stdout.write(text) };
}

const killed = { kind: "signalled", signal: "SIGKILL" } as const;

describe("how a process ended", () => {
  it.each<[string, WorkloadExit, readonly (number | undefined)[], object]>([
    ["by an exit", { kind: "exited", code: 3 }, [0, 1], { reason: ExitReason.EXITED, code: 3 }],
    ["by the kernel, for want of memory", killed, [4, 5], { reason: ExitReason.OUT_OF_MEMORY, signal: "SIGKILL" }],
    ["by somebody else's SIGKILL", killed, [4, 4], { reason: ExitReason.SIGNALLED, signal: "SIGKILL" }],
    ["by SIGKILL where the kernel does not tell", killed, [undefined, undefined], { reason: ExitReason.SIGNALLED }],
    ["by another signal meanwhile", { kind: "signalled", signal: "SIGTERM" }, [4, 5], { reason: ExitReason.SIGNALLED }],
    [
      "by a file that is too large",
      { kind: "signalled", signal: "SIGXFSZ" },
      [],
      { reason: ExitReason.LIMIT, limit: "file_size" },
    ],
    [
      "by its time on the CPU",
      { kind: "signalled", signal: "SIGXCPU" },
      [],
      { reason: ExitReason.LIMIT, limit: "cpu" },
    ],
  ])("is told: %s", async (_, exit, oomKills, expected) => {
    const { end } = manage(oomKills);
    expect(await end(exit)).toMatchObject({ exit: expected, egressRequests: 3n });
  });

  it("is no want of memory where a caller sent SIGKILL", async () => {
    const { managed, end, sent } = manage([4, 5]);
    managed.signal("SIGKILL", "tree");
    expect(await end(killed)).toMatchObject({ exit: { reason: ExitReason.SIGNALLED } });
    expect(sent).toEqual(["SIGKILL tree"]);
  });

  it("is a limit where there is no room for its output", async () => {
    const { managed, end, sent, write } = manage([]);
    rmSync(directory, { recursive: true }); // as good as a full disk
    write("x");
    await vi.waitFor(() => expect(sent).toEqual(["SIGKILL undefined"]));
    expect(await end(killed)).toMatchObject({ exit: { reason: ExitReason.LIMIT, limit: "disk" } });
    expect(managed.output.end).toBe(0);
    directory = mkdtempSync(join(tmpdir(), "managed-"));
  });
});

describe("the kernel's count of processes that it ended for want of memory", () => {
  const files: Record<string, string> = {
    "/sys/fs/cgroup/memory.events": "low 0\noom 2\noom_kill 2\noom_group_kill 0\n",
    "/proc/vmstat": "nr_free_pages 1\noom_kill 9\n",
  };
  const reading = (paths: readonly string[]) => (path: string) => {
    if (!paths.includes(path)) throw new Error("ENOENT");
    return files[path] ?? "";
  };

  it("is that of the sandbox's own control group where it is to be seen, else the machine's", () => {
    expect(countOomKills(reading(Object.keys(files)))).toBe(2);
    expect(countOomKills(reading(["/proc/vmstat"]))).toBe(9);
    expect(countOomKills(reading([]))).toBeUndefined();
  });
});
