import { afterAll, beforeAll } from "vitest";
import { startDockerDriver } from "../../services/sandbox/src/drivers/docker/docker-driver.fixture.ts";
import { startDockerEngine, type TestEngine } from "../../services/sandbox/src/drivers/docker/docker-engine.fixture.ts";
import { describeSandboxDriver } from "../../services/sandbox/src/drivers/sandbox-driver.contract.ts";

let engine: TestEngine;

beforeAll(async () => {
  engine = await startDockerEngine();
});
afterAll(() => engine.close());

describeSandboxDriver("docker", () => startDockerDriver(engine));
