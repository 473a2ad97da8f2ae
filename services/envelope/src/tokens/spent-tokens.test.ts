import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SpentTokens } from "./spent-tokens.ts";

let directory: string;
let path: string;
let now: number;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "spent-"));
  path = join(directory, "state", "spent-tokens");
  now = 1_000_000;
});
afterEach(() => rmSync(directory, { recursive: true }));

const open = () => SpentTokens.open(path, () => now);
const token = (tokenId: string, address = "192.0.2.1", over: { issuer?: string; expiresAtMs?: number } = {}) => ({
  issuer: "locate",
  tokenId,
  expiresAtMs: 1_060_000,
  address: { family: 4 as const, text: address },
  ...over,
});

describe("spent tokens (EW-09)", () => {
  it("lets a token be used once, and by the same address again", async () => {
    const spent = await open();
    expect(await spent.spend(token("a"))).toBe("first");
    expect(await spent.spend(token("a"))).toBe("again");
    expect(await spent.spend(token("a", "192.0.2.2"))).toBe("replayed");
    expect(await spent.spend(token("a", "192.0.2.2", { issuer: "other" }))).toBe("first");
    await spent.close();
  });

  it("decides between two addresses at once for one of them", async () => {
    const spent = await open();
    const outcomes = await Promise.all([spent.spend(token("a")), spent.spend(token("a", "192.0.2.2"))]);
    expect(outcomes.sort()).toEqual(["first", "replayed"]);
    await spent.close();
  });

  it("remembers after a crash what was answered, and holds no token", async () => {
    const crashed = await open();
    await Promise.all(Array.from({ length: 50 }, (_, index) => crashed.spend(token(`id-${index}`))));
    const spent = await open();
    for (let index = 0; index < 50; index++)
      expect(await spent.spend(token(`id-${index}`, "192.0.2.2"))).toBe("replayed");
    expect(readFileSync(path, "utf8")).not.toContain("id-1");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    await Promise.all([spent.close(), crashed.close()]);
  });

  it("reads past half a line that a crash left", async () => {
    const crashed = await open();
    await crashed.spend(token("a"));
    await crashed.close();
    appendFileSync(path, "0123456789abcdef");
    const spent = await open();
    expect(await spent.spend(token("a", "192.0.2.2"))).toBe("replayed");
    await spent.spend(token("b"));
    await spent.close();
    const again = await open();
    expect(await again.spend(token("b", "192.0.2.2"))).toBe("replayed");
    await again.close();
  });

  it("does not start with a damaged file, and says the mend", async () => {
    const spent = await open();
    await spent.close();
    writeFileSync(path, "nonsense\n");
    await expect(open()).rejects.toThrow("is damaged: put it away");
  });

  it("forgets a token only when a clock that is set back a little makes it good no more", async () => {
    const first = await open();
    await first.spend(token("a"));
    await first.close();
    now = 1_060_000 + 60_000;
    const second = await open();
    expect(await second.spend(token("a", "192.0.2.2"))).toBe("replayed");
    await second.close();
    now = 1_060_000 + 6 * 60_000;
    const third = await open();
    expect(readFileSync(path, "utf8")).toBe("");
    await third.close();
  });

  it("does not grow without bound", async () => {
    const spent = await open();
    for (let round = 0; round < 3; round++) {
      now += 10 * 60_000;
      const expiresAtMs = now + 1_000;
      for (let index = 0; index < 10; index++)
        await Promise.all(
          Array.from({ length: 60 }, (_, id) =>
            spent.spend(token(`${round}-${index}-${id}`, "192.0.2.1", { expiresAtMs })),
          ),
        );
    }
    await spent.close();
    expect(readFileSync(path, "utf8").split("\n").length).toBeLessThan(1_800);
  });
});
