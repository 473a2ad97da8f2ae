import { describe, expect, it } from "vitest";
import { StartFault, type WorkloadRequest } from "../process/workload-command.ts";
import { userCommand } from "./user-command.ts";

const request: WorkloadRequest = { command: ["id"], environment: {}, workingDirectory: "", terminal: false };
const command = (change: Partial<WorkloadRequest>, limits = {}) => {
  const { file, args } = userCommand({
    request: { ...request, ...change },
    limits,
    uid: 65_532,
    gid: 65_532,
    filter: "/f",
  });
  return [file, ...args];
};
/** What comes behind the last program of ours, which is the workload's user already. */
const behind = (words: readonly string[]): readonly string[] =>
  words.slice(words.indexOf("/opt/sandgate/programs/env"));

describe("the command line of a process of another user", () => {
  it.each([
    ["a NUL in an argument", { command: ["id", "a\0b"] }],
    ["a NUL in a variable", { environment: { A: "b\0C=d" } }],
    ["a variable that is no name", { environment: { "A=B": "c" } }],
    ["a variable that is an option", { environment: { "-u": "PATH" } }],
    ["no command", { command: [] }],
    ["a program that would be a variable", { command: ["LD_PRELOAD=/workspace/evil.so", "id"] }],
  ])("refuses %s", (_, change) => {
    expect(() => command(change)).toThrow(StartFault);
  });

  it("D-25: gives away every capability and the user before anything that a user chose", () => {
    const words = command({ environment: { LD_PRELOAD: "/workspace/evil.so" }, command: ["evil", "--reuid", "0"] });
    const before = words.slice(0, words.indexOf("/opt/sandgate/programs/env"));
    expect(before.join(" ")).toContain(
      "setpriv --reuid 65532 --regid 65532 --clear-groups --inh-caps=-all --ambient-caps=-all --bounding-set=-all --no-new-privs -- /f ",
    );
    expect(before.join(" ")).not.toContain("evil");
    expect(behind(words)).toEqual([
      ...["/opt/sandgate/programs/env", "-i", "-C", "/workspace"],
      ...["LD_PRELOAD=/workspace/evil.so", "evil", "--reuid", "0"],
    ]);
  });

  it("limits each process, but not by a count over all containers of the machine", () => {
    const words = command({}, { openFiles: 10, processes: 5 }).join(" ");
    expect(words).toContain("--nofile=10:10");
    expect(words).not.toContain("nproc");
  });

  it.each([
    ["", "/workspace"],
    ["sub/dir", "/workspace/sub/dir"],
    ["/var", "/var"],
    ["-", "/workspace/-"],
  ])("starts it in %j: %s", (workingDirectory, path) => {
    const words = behind(command({ workingDirectory }));
    expect(words[words.indexOf("-C") + 1]).toBe(path);
  });

  it("has a terminal's process lead a session", () => {
    expect(command({ terminal: true }).join(" ")).toContain("setsid --ctty");
    expect(command({}).join(" ")).not.toContain("setsid");
  });
});
