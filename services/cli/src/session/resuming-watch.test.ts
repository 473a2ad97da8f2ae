import { create } from "@bufbuild/protobuf";
import { Phase, type WatchSandboxResponse, WatchSandboxResponseSchema } from "@sandgate/api/sandbox";
import { ServiceError } from "@sandgate/rpc";
import { expect, it } from "vitest";
import { watchThroughLosses } from "./resuming-watch.ts";

/** A service whose streams tell what they are given, one after the other, and then end as they are told. */
function service(...streams: readonly (readonly (number | ServiceError)[])[]) {
  const asked: string[] = [];
  async function* watchSandbox({ resumeToken }: { resumeToken?: string }): AsyncGenerator<WatchSandboxResponse> {
    const stream = streams[asked.length] ?? [];
    asked.push(resumeToken ?? "");
    for (const part of stream) {
      if (part instanceof ServiceError) throw part;
      yield create(WatchSandboxResponseSchema, { sandbox: { phase: Phase.READY }, resumeToken: String(part) });
    }
  }
  return { asked, client: { watchSandbox } };
}
const lost = new ServiceError("UNAVAILABLE", "away");

async function tokens(
  of: ReturnType<typeof service>,
  signal = new AbortController().signal,
): Promise<readonly string[]> {
  const seen: string[] = [];
  const watch = watchThroughLosses(of.client as never, "web", { signal, pause: async () => {} }); // the one method is all that it needs
  for await (const { resumeToken } of watch) seen.push(resumeToken);
  return seen;
}

it("goes on behind what it has seen, however often contact is lost", async () => {
  const played = service([1, 2, lost], [lost], [3, lost], [4]);
  expect(await tokens(played)).toEqual(["1", "2", "3", "4"]);
  expect(played.asked).toEqual(["", "2", "2", "3"]);
});

it("begins anew where it cannot go on", async () => {
  const played = service([1, lost], [new ServiceError("RESUME_TOKEN_EXPIRED", "too old")], [9]);
  expect(await tokens(played)).toEqual(["1", "9"]);
  expect(played.asked).toEqual(["", "1", ""]);
});

it("throws what the service refuses", async () => {
  await expect(tokens(service([1, new ServiceError("SANDBOX_NOT_FOUND", "none")]))).rejects.toMatchObject({
    reason: "SANDBOX_NOT_FOUND",
  });
});

it("does not wait for a service that never answered", async () => {
  await expect(tokens(service([lost], [1]))).rejects.toMatchObject({ reason: "UNAVAILABLE" });
});

it("ends when it is told to", async () => {
  const ending = new AbortController();
  ending.abort(new Error("interrupted"));
  await expect(tokens(service([1, lost]), ending.signal)).rejects.toThrow("interrupted");
});
