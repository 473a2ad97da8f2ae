import { type ArchiveTools, createArchiveTools } from "@sandgate/archive";

/** What the script is to do. Paths are as the workload sees them. */
export type FileTask =
  | { readonly kind: "read"; readonly path: string }
  | { readonly kind: "write"; readonly path: string; readonly mode: number; readonly makeParents: boolean }
  | { readonly kind: "list"; readonly path: string; readonly after: string; readonly limit: number }
  | { readonly kind: "pack"; readonly path: string }
  | { readonly kind: "unpack"; readonly path: string };

/** What a path is, as the script says it. */
export interface DescribedFile {
  readonly name: string;
  readonly kind: "file" | "directory" | "link" | "other";
  readonly sizeBytes: number;
  readonly mode: number;
  readonly modifyMs: number;
  readonly target: string;
}

/**
 * What is run as a process of the workload, on the runtime that workloads have, to touch its files: it can do no more than the workload itself.
 * Data goes by standard output and comes by standard input in frames (four bytes of length, data; no length: all has come); what is to be said about
 * it goes by standard error, one JSON object a line. CommonJS without dependencies, because it is passed as text; it is stringified, so nothing
 * outside of it exists.
 */
export const fileScript: string = `(${(
  (tools: ArchiveTools) => {
    const fs = process.getBuiltinModule("node:fs");
    const { basename, dirname, join, resolve } = process.getBuiltinModule("node:path");
    const { randomBytes } = process.getBuiltinModule("node:crypto");
    const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
    const task = JSON.parse(process.argv[1] ?? "{}") as FileTask;
    const pieceBytes = 128 * 1024;

    const say = (what: object): void => fs.writeFileSync(2, `${JSON.stringify(what)}\n`);
    const send = (data: Uint8Array): void => {
      for (let written = 0; written < data.length; ) written += fs.writeSync(1, data, written);
    };
    const describe = (name: string, status: import("node:fs").Stats, target = ""): DescribedFile => ({
      name,
      kind: status.isFile() ? "file" : status.isDirectory() ? "directory" : status.isSymbolicLink() ? "link" : "other",
      sizeBytes: status.size,
      mode: status.mode & 0o777,
      modifyMs: Math.floor(status.mtimeMs),
      target: target.slice(0, 1024),
    });
    const receive = (data: Buffer): boolean => {
      for (let at = 0; at < data.length; ) {
        const read = fs.readSync(0, data, at, data.length - at, null);
        if (read === 0) return false;
        at += read;
      }
      return true;
    };
    /** Gives up where the caller has not finished. */
    const giveUp = (): never => {
      throw Object.assign(new Error("the caller has gone"), { code: "EGONE" });
    };
    function* frames(): Generator<Buffer> {
      const header = Buffer.alloc(4);
      for (;;) {
        if (!receive(header)) giveUp();
        const length = header.readUInt32LE(0);
        if (length === 0) return;
        const data = Buffer.alloc(length);
        if (!receive(data)) giveUp();
        yield data;
      }
    }

    const read = (path: string): void => {
      const fd = fs.openSync(path, O_RDONLY | O_NONBLOCK); // a pipe must not hold us up
      const status = fs.fstatSync(fd);
      if (status.isDirectory()) throw Object.assign(new Error("it is a directory"), { code: "EISDIR" });
      if (!status.isFile()) throw Object.assign(new Error("it is no plain file"), { code: "ENOTFILE" });
      say({ file: describe(basename(path), status) });
      const piece = Buffer.alloc(pieceBytes);
      let end = 0;
      for (let bytes = fs.readSync(fd, piece); bytes > 0; bytes = fs.readSync(fd, piece)) {
        send(piece.subarray(0, bytes));
        end += bytes;
      }
      say({ end });
    };
    const write = (path: string, mode: number, makeParents: boolean): void => {
      const parent = dirname(path);
      if (makeParents) fs.mkdirSync(parent, { recursive: true });
      if (fs.lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true)
        throw Object.assign(new Error("it is a directory"), { code: "EISDIR" });
      const temporary = join(parent, `.${randomBytes(9).toString("base64url")}.sandgate`);
      const fd = fs.openSync(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
      try {
        for (const data of frames()) for (let at = 0; at < data.length; ) at += fs.writeSync(fd, data, at);
        fs.fchmodSync(fd, mode);
        fs.fsyncSync(fd);
        fs.renameSync(temporary, path);
      } catch (error) {
        fs.rmSync(temporary, { force: true });
        throw error;
      }
      say({ file: describe(basename(path), fs.fstatSync(fd)) });
    };
    const list = (path: string, after: string, limit: number): void => {
      const status = fs.statSync(path);
      const file = describe(basename(path), status);
      if (!status.isDirectory()) {
        say({ file, entries: [], more: false });
        return;
      }
      const start = Buffer.from(after, "utf8");
      const names = fs
        .readdirSync(path, { encoding: "buffer" })
        .filter((name) => Buffer.from(name.toString("utf8"), "utf8").equals(name))
        .sort(Buffer.compare);
      const following = after === "" ? names : names.filter((name) => Buffer.compare(name, start) > 0);
      const entries = following.slice(0, limit).flatMap((bytes) => {
        const name = bytes.toString("utf8");
        const inner = join(path, name);
        const found = fs.lstatSync(inner, { throwIfNoEntry: false });
        if (found === undefined) return []; // it has just gone
        return [describe(name, found, found.isSymbolicLink() ? fs.readlinkSync(inner) : "")];
      });
      say({ file, entries, more: following.length > limit, last: following[limit - 1]?.toString("utf8") ?? "" });
    };
    const pack = (path: string): void => {
      const pieces = tools.pack(path);
      let next = pieces.next();
      for (; next.done !== true; next = pieces.next()) send(next.value);
      say({ summary: next.value });
    };
    const unpack = (path: string): void => {
      fs.mkdirSync(path, { recursive: true });
      const unpacker = tools.createUnpacker(path, { linksInside: false });
      for (const data of frames()) unpacker.write(data);
      say({ summary: unpacker.end() });
    };

    try {
      const path = resolve("/workspace", task.path);
      switch (task.kind) {
        case "read":
          read(path);
          break;
        case "write":
          write(path, task.mode, task.makeParents);
          break;
        case "list":
          list(path, task.after, task.limit);
          break;
        case "pack":
          pack(path);
          break;
        case "unpack":
          unpack(path);
          break;
      }
    } catch (error) {
      const { code, message } = error as { code?: string; message?: string };
      say({ fault: { code: String(code ?? ""), message: code === "EARCHIVE" ? String(message) : "" } });
    }
  }
).toString()})((${createArchiveTools.toString()})());`;
