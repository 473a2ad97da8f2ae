/**
 * Installs the system packages that sandboxes need, where it may (as root or by passwordless sudo); otherwise prints the command and exits 2.
 * Says nothing and does nothing when they are there.
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** What must be on the PATH, and the Debian package that has it. */
const needed = [
  { command: "bwrap", debianPackage: "bubblewrap" },
  { command: "setpriv", debianPackage: "util-linux" },
];

/** Has the packages installed; answers the exit code: 0, or 2 when the user has to do it. */
export function setUp(): number {
  const missing = needed.filter(({ command }) => !isOnPath(command)).map(({ debianPackage }) => debianPackage);
  return missing.length === 0 ? 0 : install(missing);
}

/** Installs Debian packages; answers the exit code: 0, or 2 when the user has to do it. */
function install(packages: readonly string[]): number {
  const command = ["apt-get", "install", "--yes", "--no-install-recommends", ...packages];
  const prefix = process.getuid?.() === 0 ? [] : ["sudo", "--non-interactive"];
  if (!isOnPath("apt-get") || (prefix[0] === "sudo" && !succeeds(["sudo", "--non-interactive", "true"]))) {
    console.error(`Sandgate needs ${packages.join(" and ")} from your system's package manager:`);
    console.error(`\n  sudo ${command.filter((word) => word !== "--yes").join(" ")}\n`);
    return 2;
  }
  console.error(`Installing ${packages.join(" and ")} ...`);
  const quiet = [...prefix, "env", "DEBIAN_FRONTEND=noninteractive"];
  if (!succeeds([...quiet, ...command])) {
    // A fresh image has no package lists; so the first attempt may fail for their lack alone.
    if (!succeeds([...quiet, "apt-get", "update"]) || !succeeds([...quiet, ...command], "inherit")) {
      console.error(`Sandgate could not install ${packages.join(" and ")}; install it and try again:`);
      console.error(`\n  ${[...prefix.slice(0, 1), ...command].join(" ")}\n`);
      return 2;
    }
  }
  return 0;
}

function succeeds([command = "", ...args]: readonly string[], output: "ignore" | "inherit" = "ignore"): boolean {
  return spawnSync(command, args, { stdio: ["ignore", output, output] }).status === 0;
}

function isOnPath(command: string): boolean {
  return (process.env.PATH ?? "").split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, command), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

if (import.meta.main) process.exitCode = setUp();
