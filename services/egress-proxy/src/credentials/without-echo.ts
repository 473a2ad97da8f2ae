/** An origin sent a secret back. */
export class SecretEchoed extends Error {
  override readonly name = "SecretEchoed";
}

/**
 * A body as it comes, as long as it holds none of these texts: calls `onEcho` and throws SecretEchoed before the piece goes on that would
 * complete one. Nothing is held back for fear that it could be a beginning: to a workload whose origin repeats what it is told, that would
 * tell how the secret begins, one character after another.
 */
export async function* withoutEcho(
  content: AsyncIterable<Buffer>,
  secrets: readonly Buffer[],
  onEcho: () => void = () => undefined,
): AsyncGenerator<Buffer, void> {
  const longest = Math.max(...secrets.map(({ length }) => length));
  let before: Buffer = Buffer.alloc(0);
  for await (const bytes of content) {
    const seen = before.length === 0 ? bytes : Buffer.concat([before, bytes]);
    if (secrets.some((secret) => seen.includes(secret))) {
      onEcho();
      throw new SecretEchoed("the origin sent a secret back");
    }
    yield bytes;
    before = seen.subarray(Math.max(0, seen.length - longest + 1));
  }
}
