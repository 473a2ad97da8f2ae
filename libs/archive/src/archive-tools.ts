/** What was packed or unpacked. */
export interface ArchiveSummary {
  /** Files, directories and links. */
  readonly entries: number;
  /** What was left out. */
  readonly skipped: number;
}

/** Takes an archive piece by piece and writes what is in it. */
export interface Unpacker {
  /** Throws an Error whose `code` is EARCHIVE for what is no archive, or leads out of the directory; else what the system says. */
  write(piece: Uint8Array): void;
  /** The archive has ended. Throws where it is not whole. */
  end(): ArchiveSummary;
}

/** Packs and unpacks. */
export interface ArchiveTools {
  /** A directory as a tar archive whose names are relative to it. Devices, sockets and names that are not UTF-8 are left out. */
  pack(root: string): Generator<Buffer, ArchiveSummary>;
  /**
   * Unpacks into a directory that is there. No name leads out of it, no link is followed, no file keeps its owner or more than its plain permission
   * bits. Links that lead out are left out where `linksInside` is set. The archive is not trusted; whoever may change the directory
   * meanwhile is.
   */
  createUnpacker(root: string, options: { readonly linksInside: boolean }): Unpacker;
}

/**
 * The tools. The function is whole by itself, so that its text can be run where nothing else of ours is: inside a sandbox, where the files are the
 * workload's and must be touched as the workload.
 */
export function createArchiveTools(): ArchiveTools {
  const fs = process.getBuiltinModule("node:fs");
  const { join } = process.getBuiltinModule("node:path");
  const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
  const blockBytes = 512;
  const pieceBytes = 128 * 1024;
  const mostMetaBytes = 1024 * 1024;
  const types = { file: "0", link: "2", directory: "5", extended: "x" } as const;

  const fault = (message: string): Error => Object.assign(new Error(message), { code: "EARCHIVE" });
  const decode = (bytes: Uint8Array): string | undefined => {
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      return undefined;
    }
  };
  const padding = (sizeBytes: number): number => (blockBytes - (sizeBytes % blockBytes)) % blockBytes;

  // packing

  interface Entry {
    readonly name: string;
    readonly type: string;
    readonly sizeBytes: number;
    readonly mode: number;
    readonly modifyMs: number;
    readonly link?: string;
  }

  const octal = (value: number, width: number): string => `${value.toString(8).padStart(width - 1, "0")}\0`;
  const plainHeader = ({ name, type, sizeBytes, mode, modifyMs, link = "" }: Entry): Buffer => {
    const block = Buffer.alloc(blockBytes);
    block.write(name, 0, 100, "utf8");
    block.write(octal(mode & 0o777, 8), 100, "latin1");
    block.write(octal(0, 8), 108, "latin1");
    block.write(octal(0, 8), 116, "latin1");
    block.write(octal(Math.min(sizeBytes, 0o77777777777), 12), 124, "latin1");
    block.write(octal(Math.max(0, Math.floor(modifyMs / 1000)), 12), 136, "latin1");
    block.write("        ", 148, "latin1");
    block.write(type, 156, "latin1");
    block.write(link, 157, 100, "utf8");
    block.write("ustar\x0000", 257, "latin1");
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
    return block;
  };
  const record = (key: string, value: string): string => {
    const rest = Buffer.byteLength(` ${key}=${value}\n`);
    let length = rest + String(rest).length;
    if (rest + String(length).length !== length) length = rest + String(length).length;
    return `${length} ${key}=${value}\n`;
  };
  const isPlain = (text: string): boolean => /^[\x20-\x7e]*$/.test(text) && text.length < 100;
  const header = (entry: Entry): Buffer => {
    const { name, link = "", sizeBytes } = entry;
    const records = [
      ...(isPlain(name) ? [] : [record("path", name)]),
      ...(isPlain(link) ? [] : [record("linkpath", link)]),
      ...(sizeBytes <= 0o77777777777 ? [] : [record("size", String(sizeBytes))]),
    ].join("");
    if (records === "") return plainHeader(entry);
    const data = Buffer.from(records, "utf8");
    const extended = { name: "extended", type: types.extended, sizeBytes: data.length, mode: 0o644, modifyMs: 0 };
    const short = { ...entry, name: "long", link: link === "" ? "" : "long" };
    return Buffer.concat([plainHeader(extended), data, Buffer.alloc(padding(data.length)), plainHeader(short)]);
  };

  function* pack(root: string): Generator<Buffer, ArchiveSummary> {
    let entries = 0;
    let skipped = 0;
    function* packFile(path: string, name: string): Generator<Buffer> {
      const fd = fs.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
      try {
        const { size, mode, mtimeMs } = fs.fstatSync(fd);
        yield header({ name, type: types.file, sizeBytes: size, mode, modifyMs: mtimeMs });
        // as long as it was said to be, whatever becomes of it meanwhile
        for (let at = 0; at < size; ) {
          const piece = Buffer.allocUnsafeSlow(Math.min(pieceBytes, size - at));
          const read = fs.readSync(fd, piece, 0, piece.length, at);
          if (read < piece.length) piece.fill(0, read);
          yield piece;
          at += piece.length;
        }
        if (padding(size) > 0) yield Buffer.alloc(padding(size));
      } finally {
        fs.closeSync(fd);
      }
    }
    function* packDirectory(path: string, prefix: string): Generator<Buffer> {
      for (const bytes of fs.readdirSync(path, { encoding: "buffer" }).sort(Buffer.compare)) {
        const name = decode(bytes);
        if (name === undefined) {
          skipped += 1;
          continue;
        }
        const inner = join(path, name);
        const status = fs.lstatSync(inner, { throwIfNoEntry: false });
        if (status === undefined) continue; // it has just gone
        const { mode, mtimeMs: modifyMs } = status;
        if (status.isSymbolicLink()) {
          const link = fs.readlinkSync(inner);
          yield header({ name: prefix + name, type: types.link, sizeBytes: 0, mode, modifyMs, link });
        } else if (status.isDirectory()) {
          yield header({ name: `${prefix}${name}/`, type: types.directory, sizeBytes: 0, mode, modifyMs });
          yield* packDirectory(inner, `${prefix}${name}/`);
        } else if (status.isFile()) yield* packFile(inner, prefix + name);
        else {
          skipped += 1;
          continue;
        }
        entries += 1;
      }
    }
    yield* packDirectory(root, "");
    yield Buffer.alloc(2 * blockBytes);
    return { entries, skipped };
  }

  // unpacking

  const textOf = (block: Buffer, at: number, length: number): string | undefined => {
    const field = block.subarray(at, at + length);
    const end = field.indexOf(0);
    return decode(end < 0 ? field : field.subarray(0, end));
  };
  const numberOf = (block: Buffer, at: number, length: number): number => {
    const field = block.subarray(at, at + length);
    if (((field[0] ?? 0) & 0x80) !== 0) {
      // GNU's way to write large numbers
      const value = field.subarray(1).reduce((total, byte) => total * 256 + byte, 0);
      if (!Number.isSafeInteger(value)) throw fault("a number in the archive is too large");
      return value;
    }
    const text = field
      .toString("latin1")
      .replace(/[\0 ]+$/, "")
      .trimStart();
    if (!/^[0-7]*$/.test(text)) throw fault("this is not a tar archive");
    return text === "" ? 0 : Number.parseInt(text, 8);
  };
  const partsOf = (name: string): readonly string[] => {
    if (name.startsWith("/")) throw fault("a name in the archive leads out of the directory");
    const parts = name.split("/").filter((part) => part !== "" && part !== ".");
    if (parts.includes("..") || name.includes("\0")) throw fault("a name in the archive leads out of the directory");
    return parts;
  };
  /** Goes up as far as to the root, then only down. Going up behind a name could go up from where another link leads. */
  const staysInside = (link: string, depth: number): boolean => {
    if (link.startsWith("/")) return false;
    const parts = link.split("/").filter((part) => part !== "" && part !== ".");
    const ups = parts.findIndex((part) => part !== "..");
    const count = ups < 0 ? parts.length : ups;
    return count <= depth && !parts.slice(count).includes("..");
  };

  function createUnpacker(root: string, { linksInside }: { readonly linksInside: boolean }): Unpacker {
    let entries = 0;
    let skipped = 0;
    let finished = false;
    let block = Buffer.alloc(0);
    /** What is left of the present entry's data, and of what fills its last block. */
    let left = 0;
    let fill = 0;
    let take: (piece: Buffer) => void = () => {};
    let done: () => void = () => {};
    /** From extended headers, for the next entry. */
    let extended: { path?: string; linkpath?: string; size?: number } = {};
    const directories: { readonly path: string; readonly mode: number }[] = [];

    const makeParents = (parts: readonly string[]): void => {
      let path = root;
      for (const part of parts.slice(0, -1)) {
        path = join(path, part);
        const status = fs.lstatSync(path, { throwIfNoEntry: false });
        if (status === undefined) fs.mkdirSync(path, 0o755);
        else if (!status.isDirectory()) throw fault("a name in the archive leads through what is no directory");
      }
    };
    /** Makes room for something that is no directory. */
    const clear = (path: string): void => {
      const status = fs.lstatSync(path, { throwIfNoEntry: false });
      if (status === undefined) return;
      if (status.isDirectory()) throw fault("there is a directory where the archive has something else");
      fs.unlinkSync(path);
    };
    const beginFile = (parts: readonly string[], mode: number, modifyMs: number): void => {
      makeParents(parts);
      const path = join(root, ...parts);
      clear(path);
      const fd = fs.openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
      take = (piece) => {
        for (let written = 0; written < piece.length; ) written += fs.writeSync(fd, piece, written);
      };
      done = () => {
        fs.fchmodSync(fd, mode & 0o777);
        fs.futimesSync(fd, modifyMs / 1000, modifyMs / 1000);
        fs.closeSync(fd);
        entries += 1;
      };
    };
    const makeDirectory = (parts: readonly string[], mode: number): void => {
      if (parts.length === 0) return; // the root itself
      makeParents(parts);
      const path = join(root, ...parts);
      const status = fs.lstatSync(path, { throwIfNoEntry: false });
      if (status === undefined) fs.mkdirSync(path, 0o755);
      else if (!status.isDirectory()) throw fault("there is something else where the archive has a directory");
      directories.push({ path, mode: mode & 0o777 });
      entries += 1;
    };
    const makeLink = (parts: readonly string[], link: string): void => {
      if (link === "" || link.includes("\0") || (linksInside && !staysInside(link, parts.length - 1))) {
        skipped += 1;
        return;
      }
      makeParents(parts);
      const path = join(root, ...parts);
      clear(path);
      fs.symlinkSync(link, path);
      entries += 1;
    };
    const readMeta = (sizeBytes: number, use: (data: Buffer) => void): void => {
      if (sizeBytes > mostMetaBytes) throw fault("a header in the archive is too large");
      const pieces: Buffer[] = [];
      take = (piece) => pieces.push(Buffer.from(piece));
      done = () => use(Buffer.concat(pieces));
    };
    const readRecords = (data: Buffer): void => {
      for (let at = 0; at < data.length; ) {
        const space = data.indexOf(0x20, at);
        const length = Number(data.subarray(at, Math.max(at, space)).toString("latin1"));
        if (space < 0 || !Number.isInteger(length) || length < 5 || at + length > data.length)
          throw fault("this is not a tar archive");
        const text = decode(data.subarray(space + 1, at + length - 1));
        const equals = text?.indexOf("=") ?? -1;
        const [key, value] = text === undefined ? [] : [text.slice(0, equals), text.slice(equals + 1)];
        if (key === "path" || key === "linkpath") extended[key] = value ?? "";
        if (key === "size") {
          extended.size = Number(value);
          if (!Number.isSafeInteger(extended.size) || extended.size < 0) throw fault("this is not a tar archive");
        }
        at += length;
      }
    };
    const withoutEnd = (data: Buffer): string => decode(data.at(-1) === 0 ? data.subarray(0, -1) : data) ?? "\0"; // which is refused

    const begin = (head: Buffer): void => {
      const sum = numberOf(head, 148, 8);
      const summed = head.reduce((total, byte, index) => total + (index >= 148 && index < 156 ? 0x20 : byte), 0);
      if (sum !== summed) throw fault("this is not a tar archive");
      const type = String.fromCharCode(head[156] ?? 0);
      const isMeta = ["x", "g", "L", "K"].includes(type);
      const sizeBytes = (isMeta ? undefined : extended.size) ?? numberOf(head, 124, 12);
      const mode = numberOf(head, 100, 8);
      const modifyMs = numberOf(head, 136, 12) * 1000;
      left = sizeBytes;
      fill = padding(sizeBytes);
      take = () => {};
      done = () => {};
      if (isMeta) {
        readMeta(sizeBytes, (data) => {
          if (type === "x") readRecords(data);
          if (type === "L") extended.path = withoutEnd(data);
          if (type === "K") extended.linkpath = withoutEnd(data);
        });
        return;
      }
      const isNew = head.subarray(257, 263).toString("latin1") === "ustar\0";
      const [prefix, short] = [isNew ? textOf(head, 345, 155) : "", textOf(head, 0, 100)];
      const plain =
        prefix === undefined || short === undefined ? undefined : prefix === "" ? short : `${prefix}/${short}`;
      const name = extended.path ?? plain;
      const link = extended.linkpath ?? textOf(head, 157, 100);
      extended = {};
      if (name === undefined || link === undefined) {
        skipped += 1; // not UTF-8
        return;
      }
      const parts = partsOf(name);
      if (type === types.directory) makeDirectory(parts, mode);
      else if (parts.length === 0) throw fault("a name in the archive is empty");
      else if (type === types.link) makeLink(parts, link);
      else if (type === types.file || type === "\0" || type === "7") beginFile(parts, mode, modifyMs);
      else skipped += 1; // devices, pipes, hard links
    };
    const finishEntry = (): void => {
      const finish = done;
      done = () => {};
      take = () => {};
      finish();
    };

    return {
      write(bytes) {
        const piece = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
        for (let at = 0; at < piece.length && !finished; ) {
          if (left > 0) {
            const data = piece.subarray(at, at + left);
            take(data);
            at += data.length;
            left -= data.length;
            if (left === 0) finishEntry();
            continue;
          }
          if (fill > 0) {
            const step = Math.min(fill, piece.length - at);
            at += step;
            fill -= step;
            continue;
          }
          const part = piece.subarray(at, at + blockBytes - block.length);
          block = Buffer.concat([block, part]);
          at += part.length;
          if (block.length < blockBytes) return;
          const head = block;
          block = Buffer.alloc(0);
          if (head.every((byte) => byte === 0)) {
            finished = true;
            return;
          }
          begin(head);
          if (left === 0) finishEntry();
        }
      },
      end() {
        if (!finished || left > 0) throw fault("the archive is not whole");
        // only now: what may not be written to could not have been filled
        for (const { path, mode } of directories.reverse()) {
          const status = fs.lstatSync(path, { throwIfNoEntry: false });
          if (status?.isDirectory() === true) fs.chmodSync(path, mode);
        }
        return { entries, skipped };
      },
    };
  }

  return { pack, createUnpacker };
}
