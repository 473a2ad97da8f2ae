import { afterAll, beforeAll, describe } from "vitest";
import { startDockerDriver } from "../../services/sandbox/src/drivers/docker/docker-driver.fixture.ts";
import { startEngine, type TestEngine } from "../../services/sandbox/src/drivers/docker/docker-engine.fixture.ts";
import { describeSandboxDriver } from "../../services/sandbox/src/drivers/sandbox-driver.contract.ts";

describe.each(["docker", "podman"] as const)("the engine %s", (kind) => {
  let engine: TestEngine;
  beforeAll(async () => {
    engine = await startEngine(kind);
  });
  afterAll(() => engine.close());

  describeSandboxDriver(`docker, of ${kind}`, () => startDockerDriver(engine));
});
