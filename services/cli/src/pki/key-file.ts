import { createPrivateKey, type KeyObject, randomUUID } from "node:crypto";
import { link, lstat, readFile, rm, writeFile } from "node:fs/promises";
import { CommandFailure } from "../command-failure.ts";
import { exitCodes } from "../exit-codes.ts";

/**
 * The private key of a file that nobody else can read (PKCS#8, 0600): the one that is there, or, where none is, a new one. Never
 * overwrites: refuses a file that others can read, and one that holds no key of the kind.
 */
export async function completeKeyFile(
  file: string,
  kind: { readonly make: () => KeyObject; readonly isRight: (key: KeyObject) => boolean; readonly name: string },
): Promise<{ readonly key: KeyObject; readonly created: boolean }> {
  const text = kind.make().export({ type: "pkcs8", format: "pem" }).toString();
  const created = await createSecretFile(file, text);
  const key = parseKey(await readSecretFile(file));
  if (key !== undefined && kind.isRight(key)) return { key, created };
  throw new CommandFailure({
    message: `${file} holds no private key for ${kind.name}`,
    mend: "it is not overwritten: move it away, or choose another directory",
    exitCode: exitCodes.usage,
  });
}

/** Makes a file that only this user can read, whole, unless there is one. Answers whether it was made. */
export async function createSecretFile(file: string, text: string): Promise<boolean> {
  const draft = `${file}.${randomUUID()}.new`;
  try {
    await writeFile(draft, text, { mode: 0o600, flag: "wx" });
    await link(draft, file);
    return true;
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "EEXIST") return false;
    throw new CommandFailure(
      { message: `${file} cannot be written`, mend: "choose another directory", exitCode: exitCodes.usage },
      { cause },
    );
  } finally {
    await rm(draft, { force: true });
  }
}

async function readSecretFile(file: string): Promise<string> {
  const { mode, uid } = await lstat(file);
  if ((mode & 0o077) !== 0 || (process.getuid !== undefined && uid !== process.getuid()))
    throw new CommandFailure({
      message: `${file} is not a file of this user's alone`,
      mend: "others may know what it holds: move it away, and make another",
      exitCode: exitCodes.usage,
    });
  return readFile(file, "utf8");
}

function parseKey(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem);
  } catch {
    return undefined;
  }
}
