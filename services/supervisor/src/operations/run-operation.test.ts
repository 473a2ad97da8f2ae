import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { OpenExecSchema, type RelayExecRequestSchema, RelayExecResponseSchema } from "@sandgate/api/sandbox";
import { expect, it, vi } from "vitest";
import type { Operation } from "./operation.ts";
import { runOperation } from "./run-operation.ts";

type Told = MessageInitShape<typeof RelayExecRequestSchema>;

/** Runs an operation that gets one message; answers what its caller was told, and what was logged. */
async function run(operation: Operation) {
  const told: Told[] = [];
  const logged: string[] = [];
  const log = (message: string) => logged.push(message);
  await runOperation({
    sandboxId: "sbx-aaaaaaaaaaaaaaaaaaaa",
    open: create(OpenExecSchema, { execId: "one" }),
    sandbox: {
      relayExec: async function* (requests) {
        const iterator = requests[Symbol.asyncIterator]();
        await iterator.next();
        yield create(RelayExecResponseSchema, {});
        for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) told.push(next.value);
      },
    },
    operation,
    logger: { info: log, warn: log, error: log },
  });
  return { told, logged };
}

it("tells its caller of a fault of ours, and lets the sandbox go on", async () => {
  const close = vi.fn(async () => {});
  const ended = Promise.withResolvers<void>();
  const failing: Operation = {
    async *answers() {
      await ended.promise;
      yield* [];
    },
    receive: async () => {
      throw new Error("ioctl(2) failed, EBADF");
    },
    close: async () => {
      await close();
      ended.resolve();
    },
  };
  const { told, logged } = await run(failing);
  expect(told).toMatchObject([{ answer: { case: "fault", value: { reason: "INTERNAL" } } }]);
  expect(JSON.stringify(told)).not.toContain("ioctl");
  expect(logged).toEqual(["a call failed"]);
  expect(close).toHaveBeenCalledTimes(1);

  const answers = async function* (): AsyncGenerator<never> {
    await Promise.reject(new TypeError("a bug"));
    yield* [];
  };
  expect((await run({ answers })).told).toMatchObject([{ answer: { value: { reason: "INTERNAL" } } }]);
});
