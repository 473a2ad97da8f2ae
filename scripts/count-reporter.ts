import { appendFileSync } from "node:fs";
import type { Reporter, SerializedError, TestCase, TestModule } from "vitest/node";

/**
 * Reports a run to .ci/run: prints every skip with its reason, and appends `<passed> <failed> <skipped>` to the file that
 * TEST_COUNTS_FILE names. A test file that cannot be loaded and an error outside of any test count as failed. Where CI is set, a skip
 * counts as failed too, unless its reason begins with "this kernel": anything else can be installed.
 */
// biome-ignore lint/style/noDefaultExport: vitest loads a reporter by its default export
export default class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const skips = tests.map((test) => ({ test, reason: reasonOfSkip(test) })).filter(isSkip);
    const refused = skips.filter(({ reason }) => process.env.CI !== undefined && !reason.startsWith("this kernel"));
    const failed = [
      tests.filter((test) => test.result().state === "failed"),
      modules.flatMap((module) => [
        ...module.errors(),
        ...[...module.children.allSuites()].flatMap((suite) => suite.errors()),
      ]),
      unhandledErrors,
      refused,
    ].reduce((sum, { length }) => sum + length, 0);
    const passed = tests.filter((test) => test.result().state === "passed").length;
    for (const { test, reason } of skips)
      console.log(
        `${refused.some((skip) => skip.test === test) ? "REFUSED SKIP" : "skipped"} ${nameOf(test)}: ${reason}`,
      );
    const file = process.env.TEST_COUNTS_FILE;
    if (file !== undefined) appendFileSync(file, `${passed} ${failed} ${skips.length - refused.length}\n`);
    if (failed > 0) process.exitCode = 1;
  }
}

function reasonOfSkip(test: TestCase): string | undefined {
  const result = test.result();
  if (result.state === "pending") return "it was never run";
  return result.state === "skipped" ? (result.note ?? "no reason given") : undefined;
}

const isSkip = (entry: { test: TestCase; reason: string | undefined }): entry is { test: TestCase; reason: string } =>
  entry.reason !== undefined;

const nameOf = (test: TestCase) => `${test.project.name} ${test.module.relativeModuleId} > ${test.fullName}`;
