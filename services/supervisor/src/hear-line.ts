import { Socket } from "node:net";

/** Resolves with true when a line came from a pipe or socket, with false when that ended before. Closes it. */
export function hearLine(fd: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const input = new Socket({ fd, readable: true, writable: false });
  input.on("data", (chunk: Buffer) => {
    if (chunk.includes(0x0a)) resolve(true);
  });
  input.once("error", () => resolve(false)).once("close", () => resolve(false));
  return promise;
}
