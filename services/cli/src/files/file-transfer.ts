import { randomUUID } from "node:crypto";
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join, posix } from "node:path";
import { type File, FileKind, type SandboxService } from "@sandgate/api/sandbox";
import { type ArchiveSummary, createArchiveTools } from "@sandgate/archive";
import { type Client, ServiceError } from "@sandgate/rpc";
import { CommandFailure } from "../command-failure.ts";
import { exitCodes } from "../exit-codes.ts";

/** What a copy works with. */
export interface TransferOptions {
  readonly client: Client<typeof SandboxService>;
  readonly sandbox: string;
  readonly signal: AbortSignal;
  /** Called with how many bytes have gone. */
  readonly onProgress: (bytes: number) => void;
}

/** What was copied. */
export interface Transfer {
  readonly path: string;
  readonly bytes: number;
  /** Of a directory. */
  readonly summary?: ArchiveSummary;
}

const pieceBytes = 256 * 1024;
const tools = createArchiveTools();

/** Copies a file or a directory of this machine into a sandbox. */
export async function copyIn(options: TransferOptions, local: string, remote: string): Promise<Transfer> {
  const status = statSync(local, { throwIfNoEntry: false });
  if (status === undefined) throw localFailure(`there is no ${local}`);
  const present = await findRemote(options, remote);
  if (status.isDirectory()) {
    const intoIt = present?.kind === FileKind.DIRECTORY && basename(local) !== "." && !local.endsWith("/.");
    return sendDirectory(options, local, intoIt ? posix.join(remote, nameOf(local)) : remote);
  }
  if (!status.isFile()) throw localFailure(`${local} is neither a file nor a directory`);
  const intoIt = present?.kind === FileKind.DIRECTORY || remote.endsWith("/");
  return sendFile(options, local, intoIt ? posix.join(remote, nameOf(local)) : remote);
}

/**
 * Copies a file or a directory of a sandbox to this machine. What comes is not trusted: names that were not asked for count only below the
 * directory, and nothing of it leads out.
 */
export async function copyOut(options: TransferOptions, remote: string, local: string): Promise<Transfer> {
  const present = await findRemote(options, remote);
  if (present === undefined) throw new ServiceError("FILE_NOT_FOUND", "there is no such file or directory");
  // the name that was asked for, not the one that is answered
  const name = posix.basename(posix.normalize(remote));
  const isNamed = name !== "." && name !== ".." && name !== "" && name !== "/" && !remote.endsWith("/.");
  const intoIt = isNamed && statSync(local, { throwIfNoEntry: false })?.isDirectory() === true;
  const path = intoIt ? join(local, name) : local;
  return present.kind === FileKind.DIRECTORY ? takeDirectory(options, remote, path) : takeFile(options, remote, path);
}

async function findRemote({ client, sandbox, signal }: TransferOptions, path: string): Promise<File | undefined> {
  try {
    return (await client.listFiles({ sandbox, path, pageSize: 1 }, { signal })).file;
  } catch (error) {
    if (error instanceof ServiceError && error.reason === "FILE_NOT_FOUND") return undefined;
    throw error;
  }
}

async function sendFile(options: TransferOptions, local: string, path: string): Promise<Transfer> {
  const { client, sandbox, signal, onProgress } = options;
  const fd = openSync(local, constants.O_RDONLY);
  let bytes = 0;
  async function* requests() {
    yield { sandbox, part: { case: "start" as const, value: { path, mode: fstatSync(fd).mode & 0o777 } } };
    for (;;) {
      const piece = Buffer.allocUnsafe(pieceBytes);
      const read = readSync(fd, piece);
      if (read === 0) return;
      bytes += read;
      onProgress(bytes);
      yield { part: { case: "data" as const, value: piece.subarray(0, read) } };
    }
  }
  try {
    await client.writeFile(requests(), { signal });
  } finally {
    closeSync(fd);
  }
  return { path, bytes };
}

async function sendDirectory(options: TransferOptions, local: string, path: string): Promise<Transfer> {
  const { client, sandbox, signal, onProgress } = options;
  let bytes = 0;
  let packed: ArchiveSummary = { entries: 0, skipped: 0 };
  async function* requests() {
    yield { sandbox, part: { case: "start" as const, value: { path } } };
    const pieces = tools.pack(local);
    for (let next = pieces.next(); ; next = pieces.next()) {
      if (next.done === true) {
        packed = next.value;
        return;
      }
      bytes += next.value.length;
      onProgress(bytes);
      yield { part: { case: "data" as const, value: next.value } };
    }
  }
  const { summary } = await client.writeArchive(requests(), { signal });
  const entries = Number(summary?.entries ?? 0n);
  return { path, bytes, summary: { entries, skipped: packed.skipped + Number(summary?.skipped ?? 0n) } };
}

async function takeFile(options: TransferOptions, remote: string, path: string): Promise<Transfer> {
  const { client, sandbox, signal, onProgress } = options;
  if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true) throw localFailure(`${path} is a directory`);
  const temporary = join(dirname(path), `.${randomUUID()}.sandgate`);
  let fd: number | undefined;
  let bytes = 0;
  let end: number | undefined;
  try {
    for await (const { part } of client.readFile({ sandbox, path: remote }, { signal })) {
      if (part.case === "file") fd = openSync(temporary, "wx", part.value.mode & 0o777 & ~process.umask());
      else if (part.case === "data") {
        if (fd === undefined) throw cutShort();
        for (let at = 0; at < part.value.length; ) at += writeSync(fd, part.value, at);
        bytes += part.value.length;
        onProgress(bytes);
      } else if (part.case === "end") end = Number(part.value);
    }
    if (fd === undefined || end !== bytes) throw cutShort();
    closeSync(fd);
    fd = undefined;
    renameSync(temporary, path);
  } finally {
    if (fd !== undefined) closeSync(fd);
    rmSync(temporary, { force: true });
  }
  return { path, bytes };
}

async function takeDirectory(options: TransferOptions, remote: string, path: string): Promise<Transfer> {
  const { client, sandbox, signal, onProgress } = options;
  const status = statSync(path, { throwIfNoEntry: false });
  if (status === undefined) mkdirSync(path);
  else if (!status.isDirectory()) throw localFailure(`${path} is no directory`);
  const unpacker = tools.createUnpacker(path, { linksInside: true });
  let bytes = 0;
  let sent: { entries: bigint; skipped: bigint } | undefined;
  for await (const { part } of client.readArchive({ sandbox, path: remote }, { signal })) {
    if (part.case === "end") sent = part.value;
    if (part.case !== "data") continue;
    unpacker.write(part.value);
    bytes += part.value.length;
    onProgress(bytes);
  }
  if (sent === undefined) throw cutShort();
  const { entries, skipped } = unpacker.end();
  return { path, bytes, summary: { entries, skipped: skipped + Number(sent.skipped) } };
}

/** The name of a path's last part, also of `..`. */
function nameOf(local: string): string {
  const name = basename(local);
  return name === ".." || name === "" ? basename(join(process.cwd(), local)) : name;
}

function cutShort(): ServiceError {
  return new ServiceError("SUPERVISOR_LOST", "the copy was cut short");
}

function localFailure(message: string): CommandFailure {
  return new CommandFailure({ message, mend: "check the path on this machine", exitCode: exitCodes.usage });
}
