/** A host of the test's network: runs in its namespace, does what its parent asks over the IPC channel, and answers. */
import { createSocket } from "node:dgram";
import { connect, createServer, type Socket } from "node:net";
import type { HostAnswer, HostRequest, HostTask } from "./host-messages.ts";

const sockets = new Map<number, Socket>();
let nextId = 1;

async function serve(request: HostRequest): Promise<HostAnswer> {
  switch (request.do) {
    case "listen":
      return listen(request.port);
    case "connect":
      return { socket: await open(request) };
    case "echo":
      return { answered: await isAnswered(socketOf(request.socket), request.waitMs) };
    case "echo-datagram":
      return { answered: await isDatagramAnswered(request) };
    case "ask":
      return ask(request);
    case "write":
      socketOf(request.socket).write(Buffer.from(request.hex, "hex"));
      return {};
    case "close":
      socketOf(request.socket).destroy();
      return {};
    case "read-to-end":
      return { hex: await readToEnd(socketOf(request.socket)) };
  }
}

/** The service behind the envelope: sends back what it gets, over TCP and UDP. */
async function listen(port: number): Promise<HostAnswer> {
  const tcp = createServer((socket) => socket.on("error", () => socket.destroy()).pipe(socket));
  const udp = createSocket("udp6");
  udp.on("message", (bytes, from) => udp.send(bytes, from.port, from.address));
  await new Promise<void>((resolve) => tcp.listen(port, "::", resolve));
  await new Promise<void>((resolve) => udp.bind(port, "::", resolve));
  return {};
}

function open({ host, port, waitMs }: { host: string; port: number; waitMs: number }): Promise<number | undefined> {
  const socket = connect(port, host);
  return new Promise((resolve) => {
    const give = (id: number | undefined) => {
      clearTimeout(timer);
      if (id === undefined) socket.destroy();
      resolve(id);
    };
    const timer = setTimeout(() => give(undefined), waitMs);
    socket.once("connect", () => give(keep(socket)));
    socket.on("error", () => give(undefined));
  });
}

function keep(socket: Socket): number {
  const id = nextId++;
  sockets.set(id, socket);
  return id;
}

function socketOf(id: number): Socket {
  const socket = sockets.get(id);
  if (socket === undefined) throw new Error("no such socket");
  return socket;
}

function isAnswered(socket: Socket, waitMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const give = (answered: boolean) => {
      clearTimeout(timer);
      socket.off("data", hear);
      resolve(answered);
    };
    const hear = () => give(true);
    const timer = setTimeout(() => give(false), waitMs);
    socket.on("data", hear);
    socket.write("x");
  });
}

function isDatagramAnswered(request: Extract<HostTask, { do: "echo-datagram" }>): Promise<boolean> {
  const socket = createSocket(request.host.includes(":") ? "udp6" : "udp4");
  return new Promise((resolve) => {
    const give = (answered: boolean) => {
      clearTimeout(timer);
      socket.close();
      resolve(answered);
    };
    const timer = setTimeout(() => give(false), request.waitMs);
    socket.once("message", () => give(true));
    socket.bind(request.from ?? 0, () => socket.send(Buffer.alloc(request.bytes), request.port, request.host));
  });
}

/** Sends a request as it is, and reads the head of the answer. */
async function ask({
  host,
  port,
  lines,
}: {
  host: string;
  port: number;
  lines: readonly string[];
}): Promise<HostAnswer> {
  const id = await open({ host, port, waitMs: 5_000 });
  if (id === undefined) return { head: "" };
  const socket = socketOf(id);
  socket.write(`${lines.join("\r\n")}\r\n\r\n`);
  const head = await new Promise<string>((resolve) => {
    let text = "";
    const read = (bytes: Buffer) => {
      text += bytes.toString("latin1");
      if (!text.includes("\r\n\r\n")) return;
      socket.off("data", read);
      resolve(text);
    };
    socket.on("data", read);
    socket.once("close", () => resolve(text));
  });
  return { head, socket: id };
}

function readToEnd(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  return new Promise((resolve) => {
    socket.on("data", (bytes) => chunks.push(bytes));
    socket.once("close", () => resolve(Buffer.concat(chunks).toString("hex")));
    if (socket.destroyed) resolve("");
  });
}

process.on("message", (request: HostRequest) => {
  serve(request).then(
    (answer) => process.send?.({ ...answer, id: request.id }),
    (error: unknown) => process.send?.({ id: request.id, error: String(error) }),
  );
});
process.on("disconnect", () => process.exit(0));
process.send?.({ id: 0 });
