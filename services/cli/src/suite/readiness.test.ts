import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, it } from "vitest";
import { findFreePorts, isPortFree } from "./free-ports.ts";
import { readReadiness } from "./readiness.ts";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function serve(status: number, body: string): Promise<number> {
  const server = createServer((_, response) => response.writeHead(status).end(body));
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

it.each([
  [200, '{"status":"ready","checks":{"database":"ok"}}', { state: "ready", checks: { database: "ok" } }],
  [503, '{"checks":{"database":"failed"}}', { state: "not ready", checks: { database: "failed" } }],
  [503, "not json", { state: "not ready", checks: {} }],
])("reads an answer of %i", async (status, body, readiness) => {
  expect(await readReadiness(await serve(status, body), 1_000)).toEqual(readiness);
});

it("takes a closed port for no answer", async () => {
  const [port = 0] = await findFreePorts(1);
  expect(await readReadiness(port, 1_000)).toEqual({ state: "no answer", checks: {} });
});

it("finds different free ports, and knows a busy one", async () => {
  const ports = await findFreePorts(5);
  expect(new Set(ports).size).toBe(5);
  const busy = await serve(200, "");
  expect(await isPortFree(busy)).toBe(false);
  expect(await isPortFree(ports[0] ?? 0)).toBe(true);
});
