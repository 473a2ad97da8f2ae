import { describe, expect, it } from "vitest";
import { suiteDirectories } from "./suite-directories.ts";

const user = {
  directory: undefined,
  userId: 1000,
  home: "/home/u",
  xdgDataHome: undefined,
  xdgRuntimeDirectory: "/run/user/1000",
};

describe("the directories of a suite", () => {
  it("are the system's for root", () => {
    expect(suiteDirectories({ ...user, userId: 0 })).toMatchObject({
      state: "/var/lib/sandgate",
      runtime: "/run/sandgate",
    });
  });

  it("are the user's own otherwise", () => {
    const { state, runtime } = suiteDirectories(user);
    expect(state).toBe("/home/u/.local/share/sandgate");
    expect(runtime).toMatch(/^\/run\/user\/1000\/sandgate-1000-[0-9a-f]{12}$/);
  });

  it("follow XDG_DATA_HOME", () => {
    expect(suiteDirectories({ ...user, xdgDataHome: "/data" }).state).toBe("/data/sandgate");
  });

  it("are one directory where the user names a short one", () => {
    expect(suiteDirectories({ ...user, directory: "/tmp/s" })).toMatchObject({
      state: "/tmp/s",
      runtime: "/tmp/s/run",
    });
  });

  it("keep sockets within 107 bytes whatever the user names", () => {
    for (const directory of [`/tmp/${"x".repeat(30)}`, `/tmp/${"x".repeat(60)}`, `/tmp/${"x".repeat(200)}`]) {
      const { runtime } = suiteDirectories({ ...user, directory });
      expect(Buffer.byteLength(`${runtime}/control/sbx-${"a".repeat(20)}/control.sock`)).toBeLessThanOrEqual(107);
    }
  });

  it("are different for different state directories", () => {
    const runtimeOf = (name: string) =>
      suiteDirectories({ ...user, directory: `/tmp/${"x".repeat(60)}${name}` }).runtime;
    expect(runtimeOf("a")).not.toBe(runtimeOf("b"));
  });

  it("are refused to a user without a home", () => {
    expect(() => suiteDirectories({ ...user, home: undefined })).toThrow("no home directory");
  });
});
