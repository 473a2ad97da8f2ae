import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";

let directory: string;
let tokenFile: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "envelope-command-"));
  tokenFile = join(directory, "token");
  writeFileSync(tokenFile, "secret.token.x\n", { mode: 0o600 });
});
afterAll(() => rmSync(directory, { recursive: true }));

/** An envelope that does as it is told, and keeps what it was asked. */
async function envelope(answer: (socket: Duplex, request: IncomingMessage) => void) {
  const asked: IncomingMessage[] = [];
  const sockets = new Set<Duplex>();
  const server = createServer((request, response) => {
    const { port } = server.address() as AddressInfo; // a TCP server that listens has one
    const urls = (path: string) => ({ urls: { "wss://:4443/v0/envelope/access": `ws://127.0.0.1:${port}${path}` } });
    const results = [
      urls("/full?access_token=other"),
      { urls: {} },
      urls("/v0/envelope/access?access_token=secret.token.x"),
    ];
    response.end(JSON.stringify(request.url === "/none" ? { error: { title: "no machine" } } : { results }));
  });
  server.on("upgrade", (request, socket) => {
    sockets.add(socket.on("error", () => socket.destroy()));
    socket.on("end", () => socket.destroy()).resume();
    asked.push(request);
    answer(socket, request);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo; // a TCP server that listens has one
  return { url: `http://127.0.0.1:${port}`, asked, sockets };
}

function grant(socket: Duplex, request: IncomingMessage): void {
  const key = `${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
  const accept = createHash("sha1").update(key).digest("base64");
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
  );
}

const refuse =
  (status: string, more = "") =>
  (socket: Duplex) =>
    void socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\n${more}\r\ntoken_replayed\n`);

function start(...words: readonly string[]) {
  const child = spawn(process.execPath, [join(import.meta.dirname, "../main.ts"), "envelope", ...words], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: "/usr/bin:/bin" },
  });
  const output = Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  return { child, ended: output.then(([stdout, stderr, [code]]) => ({ code: code as number | null, stdout, stderr })) };
}

const run = async (...words: readonly string[]) => await start(...words).ended;

it("A.12: runs a command while it is let in, tells it where, and exits as it did", async () => {
  const { url, asked, sockets } = await envelope(grant);
  const script = 'echo "$SERVICE_HOSTNAME $SERVICE_URL"; env; exit 7';
  const { code, stdout } = await run("exec", "--url", url, "--token-file", tokenFile, "--", "sh", "-c", script);
  expect(code).toBe(7);
  expect(stdout).toContain(`127.0.0.1 ${url}/v0/envelope/access\n`);
  expect(asked[0]?.headers).toMatchObject({
    authorization: "Bearer secret.token.x",
    "sec-websocket-protocol": "net.measurementlab.envelope",
  });
  await expect.poll(() => [...sockets].every((socket) => socket.destroyed)).toBe(true);
});

it("A.12, EW-11: asks those that a locator names, in order, and tells the command no token", async () => {
  const { url, asked } = await envelope((socket, request) =>
    request.url?.startsWith("/full") === true ? refuse("503 Service Unavailable")(socket) : grant(socket, request),
  );
  const { code, stdout, stderr } = await run("exec", "--locate", `${url}/v2/nearest/wehe/replay`, "--", "env");
  expect(code).toBe(0);
  expect(asked.map((request) => request.url)).toEqual([
    "/full?access_token=other",
    "/v0/envelope/access?access_token=secret.token.x",
  ]);
  expect(stdout).toContain(`SERVICE_URL=${url}/v0/envelope/access\n`);
  expect(`${stdout}${stderr}`).not.toContain("secret.token.x");
});

it("A.12: ends the command when the envelope ends the lease first", async () => {
  const { url, sockets } = await envelope(grant);
  const script = "echo started; exec sleep 60";
  const { child, ended } = start("exec", "--url", url, "--token-file", tokenFile, "--", "sh", "-c", script);
  await once(child.stdout, "readable");
  for (const socket of sockets) socket.end(Buffer.from("880203e8", "hex"));
  const { code, stderr } = await ended;
  expect(code).toBe(1);
  expect(stderr).toContain("has ended the lease before the command had ended");
});

it.each<[string, string, string, number, string]>([
  ["a token that was used", "401 Unauthorized", "", 4, "it refused with 401 (token_replayed)"],
  ["no room", "503 Service Unavailable", "retry-after: 9\r\n", 5, "ask again in 9 s"],
])("says why it is not let in: %s", async (_, status, headers, exitCode, message) => {
  const { url } = await envelope(refuse(status, headers));
  const { code, stderr } = await run("exec", "--url", url, "--token-file", tokenFile, "--", "true");
  expect(code).toBe(exitCode);
  expect(stderr).toContain(message);
});

it("does not believe a server that has not read its key", async () => {
  const { url } = await envelope((socket) =>
    socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"),
  );
  const { code, stderr } = await run("exec", "--url", url, "--token-file", tokenFile, "--", "true");
  expect([code, stderr]).toEqual([5, expect.stringContaining("what answers there is no envelope")]);
});

it.each([
  ["neither an envelope nor a locator", [], "either --url or --locate"],
  ["a token on the command line", ["--url", "https://host/?access_token=a"], "others can read the command line"],
  ["plain http to another machine", ["--url", "http://host.example"], "use https, or say --insecure"],
  ["what is no URL", ["--url", "host"], "this is no URL of an envelope"],
])("A.12: refuses %s", async (_, words, message) => {
  const { code, stderr } = await run("exec", ...words, "--token-file", tokenFile, "--", "true");
  expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
});

it("A.12: says what the locator said, and that a command is not there", async () => {
  const { url } = await envelope(grant);
  expect((await run("exec", "--locate", `${url}/none`, "--", "true")).stderr).toContain(
    "the locator refused: no machine",
  );
  expect((await run("exec", "--url", url, "--token-file", tokenFile, "--", "/nowhere/command")).code).toBe(127);
});

it("allow: holds the lease until it is interrupted", async () => {
  const { url, sockets } = await envelope(grant);
  const { child, ended } = start("allow", "--url", url, "--token-file", tokenFile);
  await once(child.stdout, "readable");
  expect([...sockets].map((socket) => socket.destroyed)).toEqual([false]);
  child.kill("SIGINT");
  const { stdout } = await ended;
  expect(stdout).toBe("127.0.0.1 lets this machine in\n");
  await expect.poll(() => [...sockets].every((socket) => socket.destroyed)).toBe(true);
});

it("allow: says when the envelope has ended the lease", async () => {
  const { url } = await envelope((socket, request) => {
    grant(socket, request);
    socket.end(Buffer.from("880203e8", "hex"));
  });
  const { code, stderr } = await run("allow", "--url", url, "--token-file", tokenFile);
  expect([code, stderr]).toEqual([1, expect.stringContaining("the envelope has ended the lease")]);
});
