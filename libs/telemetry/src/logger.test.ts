import { expect, test } from "vitest";
import { background } from "./background.ts";
import { createLogger, type LogLevel } from "./logger.ts";

function open(level: LogLevel = "info") {
  const lines: Record<string, unknown>[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) };
  return { lines, logger: createLogger({ service: "auth", level, destination }) };
}

test("a line has time, level and service", () => {
  const { lines, logger } = open();
  logger.info({ sandbox_id: "sbx-1" }, "created");
  expect(lines).toEqual([
    {
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      level: "info",
      service: "auth",
      sandbox_id: "sbx-1",
      msg: "created",
    },
  ]);
});

test("what is below the level is not written", () => {
  const { lines, logger } = open("warn");
  logger.info("no");
  logger.warn("yes");
  expect(lines).toHaveLength(1);
});

test("of an error only its own words are written: a database error carries rows", () => {
  const { lines, logger } = open();
  const cause = Object.assign(new Error("duplicate key"), {
    code: "23505",
    detail: "Key (token)=(hunter2)",
    query: { x: "hunter2" },
  });
  logger.error(
    { err: Object.assign(new Error("failed", { cause }), { reason: "INTERNAL", metadata: "hunter2" }) },
    "x",
  );
  expect(lines[0]?.err).toMatchObject({
    type: "Error",
    message: "failed",
    reason: "INTERNAL",
    cause: { message: "duplicate key", code: "23505" },
  });
  expect(JSON.stringify(lines)).not.toContain("hunter2");
});

test("a thrown value that is no error is not written", () => {
  const { lines, logger } = open();
  logger.error({ err: "hunter2" }, "x");
  expect(lines[0]?.err).toEqual({ type: "string" });
});

test("an error that causes itself ends", () => {
  const { lines, logger } = open();
  const error = new Error("loop");
  error.cause = error;
  logger.error({ err: error }, "x");
  expect(lines).toHaveLength(1);
});

test("a rejection in the background is logged", async () => {
  const logged = new Promise<[object, string]>((resolve) => {
    background(
      Promise.reject(new Error("no")),
      { error: (fields, message) => resolve([fields, message]) },
      "sweep failed",
    );
  });
  expect(await logged).toEqual([{ err: new Error("no") }, "sweep failed"]);
});
