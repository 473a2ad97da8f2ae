import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { isAbsolute } from "node:path";
import * as z from "zod";
import { ConfigError } from "./config-error.ts";
import { Secret } from "./secret.ts";

/** What keeps a path from being a file that we can read; undefined if nothing does. */
export function findFileFault(path: string, kind: "plain" | "secret"): string | undefined {
  if (!isAbsolute(path)) return "must be an absolute path";
  try {
    const status = statSync(path);
    if (!status.isFile()) return "is not a regular file";
    accessSync(path, constants.R_OK);
    return kind === "secret" ? findModeFault(status) : undefined;
  } catch (error) {
    return describeFileError(error);
  }
}

/** The words for a failed file operation, without its path. */
export function describeFileError(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  switch (code) {
    case "ENOENT":
    case "ENOTDIR":
      return "file is missing";
    case "EACCES":
    case "EPERM":
      return "file cannot be read by this user";
    case "EISDIR":
      return "is not a regular file";
    default:
      return `file cannot be read (${typeof code === "string" ? code : "unknown error"})`;
  }
}

/** Others may not read a secret; its group may where root owns it, which is how secrets are mounted into pods. */
function findModeFault(status: { readonly uid: number; readonly mode: number }): string | undefined {
  const ownUid = process.geteuid?.();
  if (status.uid !== 0 && status.uid !== ownUid) return "belongs to another user";
  const forbidden = status.uid === 0 ? 0o027 : 0o077;
  if ((status.mode & forbidden) === 0) return undefined;
  return `mode ${(status.mode & 0o777).toString(8).padStart(4, "0")} lets others at a secret; use 0600`;
}

/** The absolute path of a file that must exist and be readable when the configuration is loaded. */
export function filePath() {
  return z.string().superRefine((path, context) => {
    const fault = findFileFault(path, "plain");
    if (fault !== undefined) context.addIssue({ code: "custom", message: fault });
  });
}

/** As `filePath`, for a file with a secret: it must belong to this user or root and be closed to others. */
export function secretFilePath() {
  return z.string().superRefine((path, context) => {
    const fault = findFileFault(path, "secret");
    if (fault !== undefined) context.addIssue({ code: "custom", message: fault });
  });
}

/** The absolute path of a directory or file that need not exist yet. */
export function absolutePath() {
  return z.string().refine((path) => isAbsolute(path), "must be an absolute path");
}

/** Reads a secret, without the newline at its end. Throws ConfigError if the file is missing, empty, unreadable or open to others. */
export function readSecretFile(path: string): Secret {
  const fault = findFileFault(path, "secret");
  if (fault !== undefined) throw new ConfigError([{ path, message: fault }]);
  let text: string;
  try {
    text = readFileSync(path, "utf8").replace(/\r?\n$/, "");
  } catch (error) {
    throw new ConfigError([{ path, message: describeFileError(error) }]);
  }
  if (text === "") throw new ConfigError([{ path, message: "file is empty" }]);
  return new Secret(text);
}
