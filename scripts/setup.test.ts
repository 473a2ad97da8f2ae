import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

describe("set-up", () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "setup-"));
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** A command that does what the shell script says and reports how it was called. */
  function put(name: string, script: string): void {
    writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, name), 0o755);
  }

  const setUp = () =>
    spawnSync(process.execPath, [join(import.meta.dirname, "setup.ts")], { encoding: "utf8", env: { PATH: folder } });

  it("says and does nothing where nothing is missing", () => {
    put("bwrap", "");
    put("setpriv", "");
    expect(setUp()).toMatchObject({ stdout: "", stderr: "", status: 0 });
  });

  it("prints the command and exits 2 where it may not install", () => {
    put("setpriv", "");
    const { stderr, status } = setUp();
    expect(stderr).toContain("sudo apt-get install --no-install-recommends bubblewrap\n");
    expect(status).toBe(2);
  });

  it("installs what is missing, with fresh package lists where the old ones do not do", () => {
    put("setpriv", "");
    put("apt-get", `echo "$*" >> ${folder}/calls; [ -e ${folder}/lists ] || [ "$1" = update ] && : > ${folder}/lists`);
    put("sudo", 'shift; exec "$@"');
    put("true", "");
    put("env", 'shift; exec "$@"');
    expect(setUp()).toMatchObject({ stderr: "Installing bubblewrap ...\n", status: 0 });
  });

  it("exits 2 where the installation fails", () => {
    put("setpriv", "");
    put("apt-get", "/bin/false");
    put("sudo", 'shift; exec "$@"');
    put("true", "");
    put("env", 'shift; exec "$@"');
    const { stderr, status } = setUp();
    expect(stderr).toContain("Sandgate could not install bubblewrap");
    expect(status).toBe(2);
  });
});
