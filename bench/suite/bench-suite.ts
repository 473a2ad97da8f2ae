import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";

const bundle = join(import.meta.dirname, "../../dist/sandgate.mjs");
const launcher = join(import.meta.dirname, "../../services/cli/bin/sandgate");

/** A suite in a directory of its own, reached by the command line as its users reach it. */
export interface BenchSuite {
  /** Its state directory. */
  readonly directory: string;
  /** Runs `sandgate`, and answers what it printed as JSON, one value for each line. Throws when it fails. */
  sandgate(...words: readonly string[]): Promise<readonly unknown[]>;
  /** Ends the suite, if it runs, and removes its directory. */
  remove(): Promise<void>;
}

/** Prepares the directory; nothing is started. Throws where the programs have not been built. */
export function createBenchSuite(): BenchSuite {
  if (!existsSync(bundle)) throw new Error("the programs are missing: npm run build");
  const directory = mkdtempSync(join(tmpdir(), "sandgate-bench-"));
  chmodSync(directory, process.getuid?.() === 0 ? 0o711 : 0o700); // as root, the sandboxes' uids have to pass
  const sandgate = async (...words: readonly string[]): Promise<readonly unknown[]> => {
    const child = spawn(launcher, words, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { PATH: process.env["PATH"], HOME: directory, SANDGATE_DIRECTORY: directory },
    });
    const exited = new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    });
    const [stdout, stderr, exitCode] = await Promise.all([text(child.stdout), text(child.stderr), exited]);
    if (exitCode !== 0) throw new Error(`sandgate ${words.join(" ")} ended with ${exitCode}: ${stderr}`);
    return parse(stdout);
  };
  return {
    directory,
    sandgate,
    async remove() {
      await sandgate("down", "--yes", "--json");
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** One document, or one on each line. */
function parse(output: string): readonly unknown[] {
  try {
    return [JSON.parse(output)];
  } catch {
    return output
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as unknown);
  }
}
