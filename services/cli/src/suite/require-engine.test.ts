import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { requireEngine } from "./require-engine.ts";

describe("a suite's container engine", () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "eng-"));
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));
  const driver = (name: string) =>
    ({ kind: "docker", image: "a", allowedImages: [], socket: join(directory, name) }) as const;
  const answering = async (name: string, status: number, work: () => Promise<void>): Promise<void> => {
    const server = createServer((_, response) => response.writeHead(status).end("OK"));
    await once(server.listen(join(directory, name)), "listening");
    await work().finally(() => server.close());
  };

  it("is not asked for where there is none", async () => {
    await requireEngine(undefined, 1_000);
    await requireEngine({ kind: "local" }, 1_000);
  });

  it("is there when it answers", async () => {
    await answering("good", 200, () => requireEngine(driver("good"), 0));
  });

  it("is named, with the mend, when it is not there or answers with an error", async () => {
    await expect(requireEngine(driver("none"), 0)).rejects.toThrow(`${directory}/none (ENOENT)`);
    await answering("bad", 500, async () => {
      await expect(requireEngine(driver("bad"), 0)).rejects.toThrow("status 500");
    });
  });

  it("is root's", async () => {
    await expect(requireEngine(driver("none"), 1_000)).rejects.toThrow("needs root");
  });
});
