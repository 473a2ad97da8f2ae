/** A test's program: a driver in a process of its own, told what to do by lines of JSON, so that it can have another uid and be killed. */
import { randomBytes } from "node:crypto";
import { createInterface } from "node:readline";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { SandboxSpecSchema } from "@sandgate/api/sandbox";
import { formatSandboxId, sandboxIdBytes } from "../domain/sandbox-id.ts";
import { DockerDriver, type DockerDriverOptions } from "./docker/docker-driver.ts";
import { LocalDriver, type LocalDriverOptions } from "./local/local-driver.ts";
import type { SandboxDriver, SandboxStart } from "./sandbox-driver.ts";

/** Which driver, and with what. */
export type DriverChoice =
  | { readonly kind: "local"; readonly options: LocalDriverOptions }
  | { readonly kind: "docker"; readonly options: DockerDriverOptions };

interface Order {
  readonly id: number;
  readonly call: string;
  readonly argument: unknown;
}

let driver: SandboxDriver | undefined;

const say = (message: unknown): void => {
  const bigints = (_: string, value: unknown): unknown =>
    typeof value === "bigint" ? { bigint: String(value) } : value;
  process.stdout.write(`${JSON.stringify(message, bigints)}\n`);
};

const obey = async (current: SandboxDriver, call: string, argument: unknown): Promise<unknown> => {
  switch (call) {
    case "isolation":
      return current.isolation();
    case "prepare":
      return current.prepare(argument as string);
    case "start": {
      const { spec, ...start } = argument as SandboxStart;
      return current.start({
        ...start,
        spec: create(SandboxSpecSchema, spec as MessageInitShape<typeof SandboxSpecSchema>),
      });
    }
    case "stop":
      return current.stop(argument as Parameters<SandboxDriver["stop"]>[0]);
    case "destroy":
      return current.destroy(argument as string);
    case "keepSpare": {
      const first = [argument as string];
      return current.keepSpare?.(() => first.shift() ?? formatSandboxId(randomBytes(sandboxIdBytes)));
    }
    case "takeSpare":
      return current.takeSpare?.();
    case "list":
      return current.list();
    default:
      throw new Error(`no such call: ${call}`);
  }
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, call, argument }: Order = JSON.parse(line, (_, value) =>
    typeof value === "object" && value !== null && "bigint" in value ? BigInt(value.bigint) : value,
  );
  if (call === "open") {
    await driver?.close();
    const choice = argument as DriverChoice;
    driver = choice.kind === "local" ? new LocalDriver(choice.options) : new DockerDriver(choice.options);
    driver.onExit((exit) => say({ exit }));
    say({ id, answer: null });
    continue;
  }
  const current = driver;
  if (current === undefined) throw new Error("there is no driver");
  obey(current, call, argument).then(
    (answer) => say({ id, answer: answer ?? null }),
    (cause: unknown) => say({ id, fault: cause instanceof Error ? cause.message : String(cause) }),
  );
}
