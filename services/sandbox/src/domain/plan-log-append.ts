/** The most output that is kept of one sandbox, in bytes; older output is dropped. */
export const maximumLogBytes = 16 * 1024 * 1024;

/** The most output in one message, in bytes. */
export const maximumLogMessageBytes = 1024 * 1024;

/** What to do with a piece of output. */
export type LogAppend =
  /** Everything before its end is stored already. */
  | { readonly kind: "known" }
  /** What lies between is missing. */
  | { readonly kind: "gap" }
  /** Store it from this byte of the piece on. */
  | { readonly kind: "append"; readonly from: number };

/** Whether a piece of output that begins at `offset` continues what is stored up to `endOffset`. */
export function planLogAppend(endOffset: bigint, offset: bigint, sizeBytes: number): LogAppend {
  if (offset > endOffset) return { kind: "gap" };
  if (offset + BigInt(sizeBytes) <= endOffset) return { kind: "known" };
  return { kind: "append", from: Number(endOffset - offset) };
}
