import { createHash, randomBytes } from "node:crypto";
import { chmod, constants, copyFile, link, mkdir, rename, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import type { SupervisorFiles } from "./outer-sandbox.ts";

/**
 * Puts the supervisor's files where every sandbox's uid can reach them: a project in /root is closed to them. By hard link where that is
 * possible, under a name that changes with the files, complete or not there at all. Answers the directory's own paths.
 */
export async function stageSupervisorFiles(options: {
  files: SupervisorFiles;
  stateDirectory: string;
}): Promise<SupervisorFiles> {
  const { files, stateDirectory } = options;
  const sources = [files.node, files.supervisor, files.terminal];
  const facts = await Promise.all(sources.map((path) => stat(path)));
  const key = createHash("sha256")
    .update(JSON.stringify(facts.map(({ dev, ino, size, mtimeMs }) => [dev, ino, size, mtimeMs])))
    .digest("hex")
    .slice(0, 16);
  const parent = join(stateDirectory, "supervisor");
  const target = join(parent, key);
  await mkdir(parent, { recursive: true, mode: 0o711 });
  if (!(await exists(target))) {
    const draft = `${target}.${randomBytes(6).toString("hex")}`;
    await mkdir(draft, { mode: 0o700 });
    for (const source of sources) {
      const copy = join(draft, basename(source));
      if (await canLink(source))
        await link(source, copy).catch(() => copyFile(source, copy, constants.COPYFILE_FICLONE));
      else await copyFile(source, copy, constants.COPYFILE_FICLONE).then(() => chmod(copy, 0o755));
    }
    await chmod(draft, 0o711);
    try {
      await rename(draft, target);
    } catch {
      await rm(draft, { recursive: true, force: true }); // another program has staged the same in the meantime
    }
  }
  const at = (path: string): string => join(target, basename(path));
  return { node: at(files.node), supervisor: at(files.supervisor), terminal: at(files.terminal) };
}

/** A link shares the source's mode: only one that everybody may read is of use. */
async function canLink(path: string): Promise<boolean> {
  return ((await stat(path)).mode & 0o004) !== 0;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
