import { afterAll, beforeAll } from "vitest";
import { describeSandboxDriver } from "../sandbox-driver.contract.ts";
import { startDockerDriver } from "./docker-driver.fixture.ts";
import { startDockerEngine, type TestEngine } from "./docker-engine.fixture.ts";

let engine: TestEngine;

beforeAll(async () => {
  engine = await startDockerEngine();
});
afterAll(() => engine.close());

describeSandboxDriver("docker", () => startDockerDriver(engine));
