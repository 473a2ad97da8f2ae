/**
 * The story of one sandbox and its gate, with real processes: two sandboxes with identities of their own, requests that are let through and
 * held back, an identity that is refused where it is not meant, a policy that changes and an identity that is revoked. Everything runs in a
 * suite of its own in a temporary directory, with origin servers of its own; it needs no internet and leaves nothing behind.
 *
 *   npm run demo            for people
 *   npm run demo -- --json  one JSON document
 *
 * Exits with 0 only if every step did what it says, 2 where the machine lacks something, else 1.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { createStage, type Stage } from "./demo/stage.ts";
import { playStory } from "./demo/story.ts";
import { Telling } from "./demo/telling.ts";
import { setUp } from "./setup.ts";

const root = resolve(import.meta.dirname, "..");

const telling = new Telling({
  json: process.argv.includes("--json"),
  color: process.stdout.isTTY === true && (process.env["NO_COLOR"] ?? "") === "",
  write: (text) => process.stdout.write(text),
});
process.exitCode = await main();

async function main(): Promise<number> {
  const prepared = prepare();
  if (prepared !== 0) return prepared;
  let stage: Stage | undefined;
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.on(signal, () => {
      if (interrupted.signal.aborted) process.exit(130);
      interrupted.abort();
    });
  // A reader that went away, as in `npm run demo | head`, hears no more of it.
  process.stdout.on("error", () => interrupted.abort());
  try {
    stage = await createStage({ root, telling, signal: interrupted.signal });
    await playStory(stage, telling);
  } catch (error) {
    if (!interrupted.signal.aborted) telling.breakOff(error);
  } finally {
    await stage?.close();
  }
  telling.end();
  if (interrupted.signal.aborted) return 130;
  return telling.succeeded ? 0 : 1;
}

/** Has the machine and the bundles ready; answers the exit code when they cannot be. */
function prepare(): number {
  const machine = setUp();
  if (machine !== 0 || existsSync(join(root, "dist/sandgate.mjs"))) return machine;
  const build = [join(root, "scripts/build.ts")];
  return spawnSync(process.execPath, build, { stdio: ["ignore", 2, 2] }).status ?? 1;
}
