import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { type FileHandle, mkdir, open, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { ConfigError } from "@sandgate/config";
import type { ClientAddress } from "../domain/client-address.ts";

/** Kept for this long after a token has expired, so that a clock that is set back makes none good again. */
const KEPT_AFTER_EXPIRY_MS = 5 * 60_000;
const MAX_TOKENS = 1_000_000;
/** An address that no client has. */
const NOBODY = "::";
/** The file is written anew, without what counts no more, when it has this many lines and twice as many as the last time. */
const MIN_LINES = 1_000;

/** The list of spent tokens cannot be written: whoever asks is refused, for a token that is not in it could be used again. */
export class SpentTokensError extends Error {
  override readonly name = "SpentTokensError";
}

interface Entry {
  readonly address: string;
  readonly expiresAtMs: number;
  readonly written: Promise<void>;
}

/**
 * Which tokens were used, and from where (EW-09). Each is on the disk before its owner gets in, so that a restart makes none good again. The
 * file holds hashes, no token. Tokens that are spent while the disk is busy are written together.
 */
export class SpentTokens {
  readonly #path: string;
  readonly #clock: () => number;
  readonly #entries: Map<string, Entry>;
  #file: FileHandle | undefined;
  #lines = 0;
  #linesAtRewrite = 0;
  #queue: { readonly line: string; readonly resolve: () => void; readonly reject: (error: unknown) => void }[] = [];
  #running: Promise<void> | undefined;

  private constructor(path: string, clock: () => number, entries: Map<string, Entry>) {
    this.#path = path;
    this.#clock = clock;
    this.#entries = entries;
  }

  /** Reads the list, or begins one. Throws ConfigError when its directory cannot be made, or the file is damaged. */
  static async open(path: string, clock: () => number): Promise<SpentTokens> {
    const entries = new Map<string, Entry>();
    const written = Promise.resolve();
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      for (const { id, expiresAtMs, address } of readLines(path)) entries.set(id, { address, expiresAtMs, written });
      const spent = new SpentTokens(path, clock, entries);
      await spent.#rewrite();
      return spent;
    } catch (cause) {
      if (cause instanceof ConfigError) throw cause;
      const code = cause instanceof Error && "code" in cause ? String(cause.code) : "unknown error";
      throw new ConfigError([{ path: "state_directory", message: `cannot be written (${code})` }]);
    }
  }

  /**
   * Spends a token. "again" when it is already, by the same address, which may come back while the token lasts; "replayed" when by another.
   * Rejects with SpentTokensError when it cannot be written down.
   */
  async spend(token: {
    readonly issuer: string;
    readonly tokenId: string;
    readonly address: ClientAddress;
    readonly expiresAtMs: number;
  }): Promise<"first" | "again" | "replayed"> {
    const id = idOf(token);
    const known = this.#entries.get(id);
    if (known !== undefined) {
      if (known.address !== token.address.text) return "replayed";
      await requireWritten(known);
      return "again";
    }
    if (this.#entries.size >= MAX_TOKENS) this.#forget();
    if (this.#entries.size >= MAX_TOKENS) throw new SpentTokensError("too many tokens are spent");
    const entry = this.#write(id, token.address.text, token.expiresAtMs);
    try {
      await requireWritten(entry);
    } catch (error) {
      this.#entries.delete(id); // nobody got in with it
      throw error;
    }
    return "first";
  }

  /** Makes a token worth nothing: whoever comes with it, it is replayed. Rejects with SpentTokensError when that cannot be written down. */
  async forbid(token: {
    readonly issuer: string;
    readonly tokenId: string;
    readonly expiresAtMs: number;
  }): Promise<void> {
    await requireWritten(this.#write(idOf(token), NOBODY, token.expiresAtMs));
  }

  async close(): Promise<void> {
    await this.#running;
    await this.#file?.close();
    this.#file = undefined;
  }

  #write(id: string, address: string, expiresAtMs: number): Entry {
    const { promise: written, resolve, reject } = Promise.withResolvers<void>();
    const entry = { address, expiresAtMs: Math.ceil(expiresAtMs), written };
    this.#entries.set(id, entry);
    this.#queue.push({ line: formatLine(id, entry), resolve, reject });
    this.#running ??= this.#writeAll();
    return entry;
  }

  async #writeAll(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0);
      try {
        if (this.#file === undefined || this.#lines >= 2 * this.#linesAtRewrite + MIN_LINES) await this.#rewrite();
        else await this.#append(batch.map(({ line }) => line));
        for (const { resolve } of batch) resolve();
      } catch (error) {
        await this.#file?.close().catch(() => undefined);
        this.#file = undefined; // half a line may be in it: it is written anew next time
        for (const { reject } of batch) reject(error);
      }
    }
    this.#running = undefined;
  }

  async #append(lines: readonly string[]): Promise<void> {
    await this.#file?.appendFile(lines.join(""));
    await this.#file?.datasync();
    this.#lines += lines.length;
  }

  /** Replaces the file by one with what counts. */
  async #rewrite(): Promise<void> {
    this.#forget();
    await this.#file?.close();
    this.#file = undefined;
    const lines = [...this.#entries].map(([id, entry]) => formatLine(id, entry));
    const temporary = `${this.#path}.new`;
    const file = await open(temporary, "w", 0o600);
    try {
      await file.writeFile(lines.join(""));
      await file.datasync();
      await rename(temporary, this.#path);
      await syncDirectory(dirname(this.#path));
    } catch (error) {
      await file.close();
      throw error;
    }
    this.#file = file;
    this.#lines = lines.length;
    this.#linesAtRewrite = lines.length;
  }

  #forget(): void {
    const before = this.#clock() - KEPT_AFTER_EXPIRY_MS;
    for (const [id, { expiresAtMs }] of this.#entries) if (expiresAtMs < before) this.#entries.delete(id);
  }
}

function idOf(token: { readonly issuer: string; readonly tokenId: string }): string {
  return createHash("sha256")
    .update(JSON.stringify([token.issuer, token.tokenId]))
    .digest("hex");
}

async function requireWritten({ written }: Entry): Promise<void> {
  try {
    await written;
  } catch (cause) {
    throw new SpentTokensError("a spent token cannot be written down", { cause });
  }
}

function formatLine(id: string, { expiresAtMs, address }: Omit<Entry, "written">): string {
  return `${id} ${expiresAtMs} ${address}\n`;
}

interface Line {
  readonly id: string;
  readonly expiresAtMs: number;
  readonly address: string;
}

function readLines(path: string): readonly Line[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
  const lines = text.split("\n");
  lines.pop(); // empty, or half a line that was being written at a crash: nobody got in with that
  return lines.map((line) => {
    const [, id, expiresAtMs, address] = /^([0-9a-f]{64}) (\d{1,15}) ([0-9a-f.:]+)$/.exec(line) ?? [];
    if (id === undefined || address === undefined)
      throw new ConfigError([
        {
          path: "state_directory",
          message: `${path} is damaged: put it away; then tokens that have not expired can be used once more`,
        },
      ]);
    return { id, expiresAtMs: Number(expiresAtMs), address };
  });
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
