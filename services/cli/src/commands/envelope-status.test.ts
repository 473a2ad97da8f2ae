import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, it, onTestFinished } from "vitest";

/** Runs the command against an admin listener that answers this. */
async function status(answer: object, ...words: readonly string[]) {
  const server = createServer((request, response) =>
    response.writeHead(request.url === "/leases" ? 200 : 404).end(JSON.stringify(answer)),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo; // a TCP server that listens has one
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, "../main.ts"), "envelope", "status", "--admin-port", String(port), ...words],
    { stdio: ["ignore", "pipe", "pipe"], env: { PATH: "/usr/bin:/bin" } },
  );
  const exited = once(child, "close");
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [code] = await exited;
  return { code, stdout, stderr };
}

const lease = {
  id: "1",
  addresses: ["192.0.2.7"],
  issuer: "locate",
  subject: "ndt",
  endTime: "2026-03-01T12:00:00.000Z",
};

it("shows who is in, until when, and by whose word", async () => {
  const { code, stdout } = await status({ capacity: 1, leases: [lease] });
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /^ADDRESSES +UNTIL +ISSUER +SUBJECT +ID\n192\.0\.2\.7 +2026-03-01T12:00:00\.000Z +locate +ndt +1\n$/,
  );
});

it("gives the same as JSON", async () => {
  const { stdout } = await status({ capacity: 1, leases: [lease] }, "--json");
  expect(JSON.parse(stdout)).toEqual({ capacity: 1, leases: [lease] });
});

it("lets no subject of a token write to the terminal", async () => {
  const { stdout } = await status({ capacity: 1, leases: [{ ...lease, subject: "\u001b[2J" }] });
  expect(stdout).not.toContain("\u001b");
});

it("exits with 5 where no envelope answers", async () => {
  expect((await status({ nothing: true })).code).toBe(5);
});
