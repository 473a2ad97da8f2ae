import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createDevelopmentPki } from "@sandgate/pki/authority";
import { afterAll, expect, it, onTestFinished } from "vitest";
import { fetchJson } from "./fetch-json.ts";

const directory = mkdtempSync(join(tmpdir(), "sgf-"));
afterAll(() => rmSync(directory, { recursive: true }));
const pki = await createDevelopmentPki({
  directory,
  trustDomain: "sandgate.test",
  operatorUserId: crypto.randomUUID(),
});

const listen = async (server: Server) => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.close();
    if ("closeAllConnections" in server && typeof server.closeAllConnections === "function")
      server.closeAllConnections();
  });
  return (server.address() as AddressInfo).port; // a TCP server that listens has one
};
const signal = new AbortController().signal;

it("G-04 asks over TLS whom the configured authority vouches for, and nobody else", async () => {
  const { certificateFile, keyFile } = pki.services.auth;
  const server = createTlsServer({ cert: readFileSync(certificateFile), key: readFileSync(keyFile) }, (_, response) =>
    response.end('{"a":1}'),
  );
  const url = new URL(`https://127.0.0.1:${await listen(server)}/`);
  const ca = readFileSync(pki.serviceAuthority.certificateFile, "utf8");
  expect(await fetchJson(url, { signal, ca })).toEqual({ a: 1 });
  await expect(fetchJson(url, { signal, ca: undefined })).rejects.toThrow();
  const other = readFileSync(pki.sandboxAuthority.certificateFile, "utf8");
  await expect(fetchJson(url, { signal, ca: other })).rejects.toThrow();
});

it.each([
  ["says nothing", () => undefined],
  ["begins and stops", (response: ServerResponse) => void response.write("{")],
  ["refuses and goes on", (response: ServerResponse) => void response.writeHead(404).write("x")],
])("G-04 gives up a server that %s, when it is told to, and leaves no connection", async (_, answer) => {
  const giveUp = new AbortController();
  const closed = Promise.withResolvers<void>();
  const server = createServer((request, response) => {
    request.socket.on("close", () => closed.resolve());
    answer(response);
    setImmediate(() => giveUp.abort());
  });
  const url = new URL(`http://127.0.0.1:${await listen(server)}/`);
  await expect(fetchJson(url, { signal: giveUp.signal, ca: undefined })).rejects.toThrow();
  await closed.promise;
});
