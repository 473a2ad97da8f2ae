import { describe, expect, it } from "vitest";
import { dropPrivileges, PrivilegeError, type ProcessUser } from "./drop-privileges.ts";

/** A process of this user that writes down what it is told. */
function processOf(uid: number, options: { keepsRoot?: boolean } = {}): { system: ProcessUser; calls: string[] } {
  const calls: string[] = [];
  let now = uid;
  return {
    calls,
    system: {
      getuid: () => now,
      geteuid: () => now,
      setgroups: (groups) => void calls.push(`setgroups ${groups.length}`),
      setgid: (gid) => void calls.push(`setgid ${gid}`),
      setuid: (to) => {
        calls.push(`setuid ${to}`);
        if (options.keepsRoot !== true) now = Number(to);
      },
    },
  };
}

describe("privileges", () => {
  it("go with their groups, groups first", () => {
    const { system, calls } = processOf(0);
    dropPrivileges({ uid: 7001, gid: 7002 }, system);
    expect(calls).toEqual(["setgroups 0", "setgid 7002", "setuid 7001"]);
  });

  it("are not there to drop for an ordinary user", () => {
    const { system, calls } = processOf(1000);
    dropPrivileges({ uid: 7001, gid: 7002 }, system);
    dropPrivileges(undefined, system);
    expect(calls).toEqual([]);
  });

  it("stop the start where they would stay", () => {
    expect(() => dropPrivileges(undefined, processOf(0).system)).toThrow(PrivilegeError);
    expect(() => dropPrivileges({ uid: 1, gid: 1 }, processOf(0, { keepsRoot: true }).system)).toThrow(PrivilegeError);
  });
});
