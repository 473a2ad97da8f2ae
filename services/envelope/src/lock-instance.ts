import { createServer } from "node:net";

/** Another envelope of this name runs. Programs print it and exit with 2. */
class InstanceError extends Error {
  override readonly name = "InstanceError";
  readonly exitCode = 2;
}

/**
 * Takes the name of an instance, until it is released or the process dies. Rejects with InstanceError while another process has it: the two would
 * make each other's table anew. A name is an abstract socket, of which each network namespace has its own, as it has of tables.
 */
export async function lockInstance(instance: string): Promise<{ release(): Promise<void> }> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const why = cause.code === "EADDRINUSE" ? "another envelope of this name runs" : `cannot be had (${cause.code})`;
      reject(new InstanceError(`instance ${instance}: ${why}; give each its own instance`, { cause }));
    });
    server.listen(`\0sandgate-envelope-${instance}`, resolve);
  });
  return {
    release: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}
