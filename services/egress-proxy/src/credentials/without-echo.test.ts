import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SecretEchoed, withoutEcho } from "./without-echo.ts";

async function pass(chunks: readonly string[], ...secrets: readonly string[]): Promise<string> {
  async function* content() {
    for (const chunk of chunks) yield Buffer.from(chunk, "latin1");
  }
  const passed: Buffer[] = [];
  for await (const bytes of withoutEcho(
    content(),
    secrets.map((secret) => Buffer.from(secret, "latin1")),
  ))
    passed.push(bytes);
  return Buffer.concat(passed).toString("latin1");
}

describe("withoutEcho", () => {
  it("passes on a body without the secret, in any pieces, byte for byte, and stops one with it", async () => {
    const letters = fc.stringMatching(/^[ab]{0,12}$/);
    await fc.assert(
      fc.asyncProperty(
        fc.array(letters),
        fc.stringMatching(/^[ab]{2,5}$/),
        letters.filter((text) => text !== ""),
        async (chunks, one, two) => {
          const body = chunks.join("");
          const outcome = await pass(chunks, one, two).catch((fault: unknown) => fault);
          if (body.includes(one) || body.includes(two)) expect(outcome).toBeInstanceOf(SecretEchoed);
          else expect(outcome).toBe(body);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it("passes on every piece whole and at once, also one that could be the beginning of the secret: it tells nobody", async () => {
    async function* content() {
      yield Buffer.from("data: sk-");
      throw new Error("the next event is not there yet");
    }
    const first = await withoutEcho(content(), [Buffer.from("sk-secret")]).next();
    expect(first.value?.toString()).toBe("data: sk-");
  });

  it("passes on nothing of a piece that holds the secret", async () => {
    async function* content() {
      yield Buffer.from("one ");
      yield Buffer.from("two sk-secret three");
    }
    const body = withoutEcho(content(), [Buffer.from("sk-secret")]);
    expect((await body.next()).value?.toString()).toBe("one ");
    await expect(body.next()).rejects.toThrow(SecretEchoed);
  });
});
