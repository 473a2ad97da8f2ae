import { readdirSync, readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";

/** A process that has to do with a sandbox. */
export interface SandboxProcess {
  readonly pid: number;
  readonly parent: number;
  readonly text: string;
  /** Pids from this test's namespace inwards. */
  readonly pids: readonly string[];
}

/** Every process that has the sandbox's id in its arguments or environment, or sees its directories. */
export function processesOf(sandboxId: string): readonly SandboxProcess[] {
  return readdirSync("/proc").flatMap((name): SandboxProcess[] => {
    if (!/^\d+$/.test(name)) return [];
    const read = (file: string): string => {
      try {
        return readFileSync(`/proc/${name}/${file}`, "latin1");
      } catch {
        return "";
      }
    };
    const text = read("cmdline").replaceAll("\0", " ");
    if (![text, read("environ"), read("mountinfo")].some((content) => content.includes(sandboxId))) return [];
    const status = read("status");
    if (/^State:\s+Z/m.test(status) || status === "") return [];
    const parent = Number(/^PPid:\s+(\d+)/m.exec(status)?.[1]);
    const pids = /^NSpid:\s+(.*)$/m.exec(status)?.[1]?.trim().split(/\s+/) ?? [];
    return [{ pid: Number(name), parent, text: text.slice(0, 200), pids }];
  });
}

/** A sandbox's directories below a driver's. */
export async function pathsOf(directory: string, sandboxId: string): Promise<readonly string[]> {
  const parents = ["s/sandboxes", "r/control", "r/egress"].map((path) => join(directory, path));
  const names = await Promise.all(parents.map((parent) => readdir(parent).catch(() => [])));
  return parents.flatMap((parent, index) =>
    (names[index] ?? []).filter((name) => name === sandboxId).map((name) => join(parent, name)),
  );
}
