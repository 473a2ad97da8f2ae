/** Asks for grants from its network namespace, for its parent: every task on standard input, one JSON line each, is answered by one. */
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";

/** Where to ask, with tokens that are used once each, and from addresses `10.97.x.y` that are used once each. */
export interface GrantsTask {
  readonly host: string;
  readonly port: number;
  readonly guardedPort: number;
  readonly tokens: readonly string[];
  /** The number of the first address. */
  readonly firstAddress: number;
  readonly concurrency: number;
  /** Whether a connection to the guarded port is made with each grant. */
  readonly connects: boolean;
}

/** What became of them, in milliseconds. */
export interface GrantsResult {
  readonly tookMs: number;
  /** From the request until it is granted and, where there is one, the connection to the guarded port is made. */
  readonly grantMs: readonly number[];
}

async function work(task: GrantsTask): Promise<GrantsResult> {
  const grantMs: number[] = [];
  let next = 0;
  const startedAt = performance.now();
  const askAll = async () => {
    for (let index = next++; index < task.tokens.length; index = next++) {
      const number = task.firstAddress + index;
      grantMs.push(await ask(task, task.tokens[index] ?? "", `10.97.${number >> 8}.${number & 255}`));
    }
  };
  await Promise.all(Array.from({ length: task.concurrency }, askAll));
  return { tookMs: performance.now() - startedAt, grantMs };
}

async function ask(task: GrantsTask, token: string, localAddress: string): Promise<number> {
  const socket = await open({ host: task.host, port: task.port, localAddress });
  const startedAt = performance.now();
  const head = new Promise<string>((resolve, reject) => {
    socket.once("data", (bytes) => resolve(String(bytes))).once("close", () => reject(new Error("closed")));
  });
  socket.write(
    `GET /v0/envelope/access HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer ${token}\r\n\r\n`,
  );
  const answer = await head;
  if (!answer.startsWith("HTTP/1.1 101 ")) throw new Error(`refused: ${answer.split("\r\n")[0]}`);
  if (task.connects) (await open({ host: task.host, port: task.guardedPort, localAddress })).destroy();
  const tookMs = performance.now() - startedAt;
  socket.destroy();
  return tookMs;
}

function open(to: { host: string; port: number; localAddress: string }): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ ...to, noDelay: true }).on("error", reject);
    socket.once("connect", () => resolve(socket));
  });
}

for await (const line of createInterface({ input: process.stdin }))
  console.log(JSON.stringify(await work(JSON.parse(line) as GrantsTask)));
