import { create } from "@bufbuild/protobuf";
import { type WatchEnforcementResponse, WatchEnforcementResponseSchema } from "@sandgate/api/policy";
import { expect, it } from "vitest";
import { EnforcementView } from "./enforcement-view.ts";

it("opens the stream anew when not even a heartbeat is heard, and keeps what it knows", async () => {
  const stop = new AbortController();
  const heard: string[] = [];
  let opened = 0;
  const view = new EnforcementView({
    logger: { warn: () => {} },
    silenceMs: 20,
    policy: {
      watchEnforcement: async function* (_request, options): AsyncGenerator<WatchEnforcementResponse> {
        opened += 1;
        if (opened === 3) stop.abort();
        yield create(WatchEnforcementResponseSchema, { enforcements: [{ sandboxId: `s${opened}`, revision: 1n }] });
        yield create(WatchEnforcementResponseSchema, {}); // a heartbeat
        options?.signal?.throwIfAborted();
        await new Promise<void>((_resolve, reject) =>
          options?.signal?.addEventListener("abort", () => reject(new Error("given up"))),
        );
      },
    },
  });
  await view.follow((sandboxId) => heard.push(sandboxId), stop.signal);
  expect(heard.slice(0, 2)).toEqual(["s1", "s2"]);
  expect(view.find("s1")).toEqual({ revision: 1n, fault: "" });
});
