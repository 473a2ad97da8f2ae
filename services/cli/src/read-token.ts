import { readFile } from "node:fs/promises";
import { buffer } from "node:stream/consumers";
import { CommandFailure, usageFailure } from "./command-failure.ts";
import { exitCodes } from "./exit-codes.ts";

/** Of a token more is never read. */
const MAX_LENGTH = 16_384;

/** A token from a file, or from standard input where there is none: never from an argument, which every process can read. */
export async function readToken(file: string | undefined): Promise<string> {
  const text = (await readText(file)).trim();
  if (text === "") throw usageFailure("there is no token", "pipe it in, or name its file with --file");
  if (text.length > MAX_LENGTH) throw usageFailure("this is too long for a token");
  return text;
}

async function readText(file: string | undefined): Promise<string> {
  if (file === undefined || file === "-") return (await buffer(process.stdin)).toString("utf8");
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    throw new CommandFailure({ message: `${file} cannot be read`, exitCode: exitCodes.usage }, { cause });
  }
}

/** The header and the claims of a JWT, unverified. Refuses, with exit code 1, what is none. */
export function decodeToken(token: string): {
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: Readonly<Record<string, unknown>>;
} {
  const parts = token.split(".");
  const [header, claims] = parts.map(parseRecord);
  if (parts.length !== 3 || header === undefined || claims === undefined)
    throw new CommandFailure({ message: "this is no signed JWT" });
  return { header, claims };
}

function parseRecord(segment: string): Readonly<Record<string, unknown>> | undefined {
  if (!/^[\w-]+$/.test(segment)) return undefined;
  try {
    const parsed: unknown = JSON.parse(Buffer.from(segment, "base64url").toString("utf8"));
    if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) return undefined;
    return parsed as Record<string, unknown>; // a JSON object has string keys
  } catch {
    return undefined;
  }
}
