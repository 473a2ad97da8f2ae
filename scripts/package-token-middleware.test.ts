import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { packageTokenMiddleware } from "./package-token-middleware.ts";

const root = resolve(import.meta.dirname, "..");
const folder = mkdtempSync(join(tmpdir(), "sgpkg-"));
const installed = join(folder, "node_modules/@sandgate/token-middleware");
afterAll(() => rmSync(folder, { recursive: true }));

/** As after `npm install` of the package alone, in a project that has Node's types. */
beforeAll(async () => {
  mkdirSync(join(folder, "node_modules/@types"), { recursive: true });
  for (const name of ["jose", "@types/node", "undici-types"])
    symlinkSync(join(root, "node_modules", name), join(folder, "node_modules", name));
  await packageTokenMiddleware(installed);
  writeFileSync(join(folder, "package.json"), '{"type":"module"}');
});

const consumer = `
import { createServer } from "node:http";
import { generateKeyPairSync } from "node:crypto";
import { calculateJwkThumbprint, exportJWK } from "jose";
import { createTokenCheck, nodeStyle } from "@sandgate/token-middleware";

const jwk = await exportJWK(generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey);
const jwks = { keys: [{ ...jwk, kid: await calculateJwkThumbprint(jwk) }] };
const check = createTokenCheck({
  issuer: "https://auth.example.org",
  audience: "sandbox-api",
  keys: { jwks },
  binding: { by: "channel", containerOf: (socket) => (socket.remotePort === 1 ? "sbx" : undefined) },
});
const guard = nodeStyle(check);
const server = createServer((request, response) =>
  guard(request, response, () => response.end(check.tokenOf(request)?.containerId)),
);
server.listen(0, "127.0.0.1", async () => {
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("no address");
  const response = await fetch(\`http://127.0.0.1:\${address.port}\`, { headers: { authorization: "Bearer a.b.c" } });
  console.log(response.status, await response.text());
  server.close();
});
`;

describe("the middleware as a package", () => {
  it("runs where nothing else of the repository is", () => {
    writeFileSync(join(folder, "consumer.js"), consumer);
    const { stdout, stderr } = spawnSync(process.execPath, ["consumer.js"], { cwd: folder, encoding: "utf8" });
    expect({ stdout, stderr }).toEqual({ stdout: '401 {"error":"Invalid token"}\n', stderr: "" });
  });

  it("has types that hold without the repository", { timeout: 60_000 }, () => {
    writeFileSync(join(folder, "consumer.ts"), consumer);
    const words = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2024", "--types", "node"];
    const { status, stdout } = spawnSync(join(root, "node_modules/.bin/tsc"), [...words, "consumer.ts"], {
      cwd: folder,
      encoding: "utf8",
    });
    expect({ status, stdout }).toEqual({ status: 0, stdout: "" });
  });

  it("needs jose, and is small", () => {
    const { dependencies } = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
    expect(Object.keys(dependencies)).toEqual(["jose"]);
    expect(readdirSync(installed).filter((name) => name.endsWith(".js"))).toEqual(["index.js"]);
    expect(readFileSync(join(installed, "index.js")).length).toBeLessThan(60_000);
  });
});
