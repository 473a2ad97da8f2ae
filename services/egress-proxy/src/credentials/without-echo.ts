/** An origin sent a secret back. */
export class SecretEchoed extends Error {
  override readonly name = "SecretEchoed";
}

/**
 * A body as it comes, as long as it holds none of these texts: calls `onEcho` and throws SecretEchoed before the last byte of one goes on. Only what could be
 * the beginning of one is held back, so that events of a stream are not late.
 */
export async function* withoutEcho(
  content: AsyncIterable<Buffer>,
  secrets: readonly Buffer[],
  onEcho: () => void = () => undefined,
): AsyncGenerator<Buffer, void> {
  let held: Buffer = Buffer.alloc(0);
  for await (const bytes of content) {
    const data = held.length === 0 ? bytes : Buffer.concat([held, bytes]);
    if (secrets.some((secret) => data.includes(secret))) {
      onEcho();
      throw new SecretEchoed("the origin sent a secret back");
    }
    const heldBytes = Math.max(...secrets.map((secret) => beginningAtEnd(data, secret)));
    held = data.subarray(data.length - heldBytes);
    if (data.length > heldBytes) yield data.subarray(0, data.length - heldBytes);
  }
  if (held.length > 0) yield held;
}

/** How many bytes at the end of `data` are the beginning of `secret`, without being all of it. */
function beginningAtEnd(data: Buffer, secret: Buffer): number {
  const from = Math.max(0, data.length - secret.length + 1);
  for (let start = data.indexOf(secret[0] ?? 0, from); start >= 0; start = data.indexOf(secret[0] ?? 0, start + 1))
    if (data.subarray(start).equals(secret.subarray(0, data.length - start))) return data.length - start;
  return 0;
}
