import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, chromium } from "playwright-core";
import { runCommand } from "../run-command.ts";

const executablePath = "/usr/bin/chromium";

/** Where it is missing. */
export const missingBrowser = "Chromium is not on this machine: install the packages chromium and libnss3-tools";

/** Whether Chromium is here, and the tool that tells it whom to trust. */
export async function hasBrowser(): Promise<boolean> {
  const probes = [runCommand(executablePath, ["--version"]), runCommand("certutil", ["-H"])];
  return Promise.all(probes).then(
    ([browser]) => browser?.exitCode === 0,
    () => false,
  );
}

/** A Chromium of its own, without any past, that trusts one more authority than the world's. */
export interface Browser {
  readonly context: BrowserContext;
  close(): Promise<void>;
}

/** Starts it. The authority is trusted as a person would have it: in the database of the user's certificates. */
export async function startBrowser(authorityFile: string): Promise<Browser> {
  const home = await mkdtemp(join(tmpdir(), "sg-browser-"));
  const database = join(home, ".pki", "nssdb");
  await mkdir(database, { recursive: true });
  await certutil(database, ["-N", "--empty-password"]);
  await certutil(database, ["-A", "-t", "C,,", "-n", "sandgate", "-i", authorityFile]);
  const context = await chromium.launchPersistentContext(join(home, "profile"), {
    executablePath,
    env: { ...process.env, HOME: home },
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  return {
    context,
    close: async () => {
      await context.close();
      await rm(home, { recursive: true, force: true, maxRetries: 5 }); // its helpers outlive it by a moment
    },
  };
}

async function certutil(database: string, words: readonly string[]): Promise<void> {
  const { exitCode, stderr } = await runCommand("certutil", ["-d", `sql:${database}`, ...words]);
  if (exitCode !== 0) throw new Error(`certutil exited with ${exitCode}: ${stderr}`);
}
