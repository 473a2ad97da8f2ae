import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

/** Suites by what they need. `npm test` runs unit and integration; .ci/run runs all of them. */
export default defineConfig({
  test: {
    testTimeout: 20_000,
    hookTimeout: 60_000,
    maxWorkers: Math.max(2, availableParallelism() - 1), // vitest itself would leave one of two processors idle
    globalSetup: ["./libs/testing/src/throw-away-server.ts"],
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["libs/*/src/**/*.test.ts", "services/*/src/**/*.test.ts", "scripts/**/*.test.ts"],
          isolate: false, // modules keep no state, so that files need not load them again and again
        },
      },
      { extends: true, test: { name: "integration", include: ["test/integration/**/*.test.ts"], isolate: false } },
      { extends: true, test: { name: "architecture", include: ["test/architecture/**/*.test.ts"] } },
      { extends: true, test: { name: "faults", include: ["test/faults/**/*.test.ts"] } },
      { extends: true, test: { name: "conformance", include: ["test/conformance/**/*.test.ts"] } },
      {
        extends: true,
        test: { name: "envelope", include: ["test/envelope/**/*.test.ts"], fileParallelism: false },
      },
      {
        extends: true,
        test: {
          name: "engines",
          include: ["test/engines/**/*.test.ts"],
          fileParallelism: false,
        },
      },
      { extends: true, test: { name: "interop", include: ["test/interop/**/*.test.ts"] } },
      {
        extends: true,
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          exclude: ["test/e2e/crash-points.test.ts"],
          fileParallelism: false,
        },
      },
      { extends: true, test: { name: "crash", include: ["test/e2e/crash-points.test.ts"] } },
    ],
  },
});
