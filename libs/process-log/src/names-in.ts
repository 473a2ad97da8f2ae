import { opendirSync } from "node:fs";

/** More names than these are not a supervisor's: whoever reads them must not be held up. */
const mostNames = 8_192;

/** The names in a directory that somebody else may have filled, in no order; none where there is no such directory. */
export function namesIn(path: string): readonly string[] {
  const names: string[] = [];
  try {
    const directory = opendirSync(path);
    try {
      for (let entry = directory.readSync(); entry !== null && names.length < mostNames; entry = directory.readSync())
        names.push(entry.name);
    } finally {
      directory.closeSync();
    }
  } catch (cause) {
    if (!(cause instanceof Error && "code" in cause && cause.code === "ENOENT")) throw cause;
  }
  return names;
}
