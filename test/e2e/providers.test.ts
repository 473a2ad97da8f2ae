import { readdirSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SuiteDirectory } from "./suite-directory.fixture.ts";

const secret = "sk-live-0f1e2d3c4b5a69788796a5b4c3d2e1f0";
const forms = [secret, Buffer.from(secret).toString("base64").slice(0, -4), Buffer.from(secret).toString("hex")];

/** Asks again until it is so. */
const eventually = <T>(ask: () => Promise<T>) => expect.poll(ask, { timeout: 60_000, interval: 100 });

/** What the workload does with its provider: prints the status and the body. */
const useIt =
  'curl -s -o /tmp/body -w "%{http_code} " -H "authorization: Bearer $MODELS_KEY" "$MODELS_URL/chat"; cat /tmp/body';

describe.each([
  ["all in one", "--all-in-one"],
  ["in programs of their own", "--separate"],
] as const)("a workload uses a secret that it never sees, services %s", { timeout: 240_000 }, (_name, topology) => {
  let suite: SuiteDirectory;
  let origin: Server;
  const seen: (string | undefined)[] = [];
  const inside = async (script: string, input = ""): Promise<string> =>
    (await suite.sandgate(["exec", "agent", "--", "sh", "-c", script], input)).stdout;
  const succeed = async (words: readonly string[], input = ""): Promise<string> => {
    const outcome = await suite.sandgate(words, input);
    expect(outcome, words.join(" ")).toMatchObject({ exitCode: 0 });
    return outcome.stdout;
  };

  beforeAll(async () => {
    origin = createServer((request, response) => {
      seen.push(request.headers.authorization);
      response.writeHead(200, { "x-seen": request.headers.authorization ?? "" }).end("ok");
    });
    await new Promise<void>((resolve) => origin.listen(0, "127.0.0.1", resolve));
    const { port } = origin.address() as AddressInfo; // it listens on TCP
    suite = new SuiteDirectory();
    await succeed(["up", topology, "--development-origin", `api.example:80=127.0.0.1:${port}`]);
    await succeed(
      [
        ...["provider", "create", "models", "--endpoint", "http://api.example/v1"],
        ...["--env", "MODELS_KEY", "--base-url-env", "MODELS_URL"],
      ],
      `${secret}\n`,
    );
    await succeed([
      "create",
      "agent",
      "--allow",
      "api.example",
      "--provider",
      "models",
      "--",
      "sh",
      "-c",
      "env; sleep 600",
    ]);
  }, 120_000);
  afterAll(async () => {
    await suite.remove();
    origin.closeAllConnections();
    await new Promise<void>((resolve) => origin.close(() => resolve()));
  });

  it("by a placeholder in its environment, in the main process and in every other", async () => {
    expect(await inside("echo $MODELS_KEY $MODELS_URL")).toMatch(
      /^sandgate-placeholder-[a-z2-7]{32} http:\/\/api\.example\/v1\n$/,
    );
    expect(await inside(useIt)).toBe("200 ok");
    expect(seen.at(-1)).toBe(`Bearer ${secret}`);
    await eventually(() => succeed(["logs", "agent"])).toContain("MODELS_KEY=sandgate-placeholder-");
    expect(await succeed(["provider", "env", "agent"])).toContain("MODELS_KEY=sandgate-placeholder-");
  });

  it("G-12, G-10: which nobody finds, inside or outside, wherever they look", async () => {
    expect(await inside(useIt)).toBe("200 ok");
    const places = "/workspace /tmp /run /etc /var /proc/[0-9]*/environ /proc/[0-9]*/cmdline";
    expect(await inside(`grep -D skip -raslFf - ${places}`, `${forms.join("\n")}\n`)).toBe("");
    expect(await inside(`curl -si -H "authorization: Bearer $MODELS_KEY" "$MODELS_URL/chat"`)).not.toContain(secret);
    for (const words of [
      ["get", "agent"],
      ["policy", "get", "agent"],
      ["decisions", "agent"],
      ["audit"],
      ["provider", "ls"],
      ["provider", "get", "models"],
      ["provider", "env", "agent"],
      ["logs", "agent"],
    ]) {
      const shown = JSON.stringify(await suite.json(...words));
      for (const form of forms) expect(shown, words.join(" ")).not.toContain(form);
    }
    const files = readdirSync(suite.path, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    expect(files.length).toBeGreaterThan(100); // with the database's own files
    for (const { parentPath, name } of files) {
      const bytes = readFileSync(join(parentPath, name));
      for (const form of forms) expect(bytes.includes(form), join(parentPath, name)).toBe(false);
    }
    for (const line of suite.processes()) for (const form of forms) expect(line).not.toContain(form);
  });

  it("a rotated one with the same placeholder, without a restart", async () => {
    const before = await inside("echo $MODELS_KEY");
    await succeed(["provider", "rotate", "models"], "sk-live-rotated\n");
    await eventually(async () => ((await inside(useIt)) === "200 ok" ? seen.at(-1) : "")).toBe(
      "Bearer sk-live-rotated",
    );
    expect(await inside("echo $MODELS_KEY")).toBe(before);
  });

  it("not after it was unbound, and again, by another placeholder, once it is bound", async () => {
    const before = (await inside("echo $MODELS_KEY")).trim();
    await succeed(["provider", "unbind", "models", "agent"]);
    await eventually(() => inside("echo [$MODELS_KEY]")).toBe("[]\n");
    const count = seen.length;
    const refused = await inside(`curl -si -H "authorization: Bearer ${before}" http://api.example/v1/chat`);
    expect(refused).toContain("x-deny-reason: credential_not_granted");
    expect(seen).toHaveLength(count);
    await succeed(["provider", "bind", "models", "agent"]);
    await eventually(() => inside("echo $MODELS_KEY")).toMatch(/^sandgate-placeholder/);
    expect(await inside("echo $MODELS_KEY")).not.toContain(before);
    expect(await inside(useIt)).toBe("200 ok");
  });

  it("not after it was removed", async () => {
    const { stdout, exitCode } = await suite.sandgate(["provider", "bind", "missing", "agent"]);
    expect([stdout, exitCode]).toEqual(["", 3]);
    const before = (await inside("echo $MODELS_KEY")).trim();
    await succeed(["provider", "rm", "models"]);
    await eventually(() =>
      inside(`curl -si -H "authorization: Bearer ${before}" http://api.example/v1/chat`),
    ).toContain("x-deny-reason: credential_not_granted");
  });
});
