import { ErrorReasonSchema } from "@sandgate/api/errors";
import { describeReason, type Reason, ServiceError } from "@sandgate/rpc";
import { describe, expect, it } from "vitest";
import { usageFailure } from "./command-failure.ts";
import { describeFailure } from "./describe-failure.ts";
import { exitCodes, exitCodesHelp } from "./exit-codes.ts";

describe("the exit code of a server's refusal", () => {
  it.each([
    ["SANDBOX_NOT_FOUND", 3],
    ["POLICY_NOT_FOUND", 3],
    ["ROLE_TOO_LOW", 4],
    ["CREDENTIAL_EXPIRED", 4],
    ["UNAVAILABLE", 5],
    ["TRUST_UNAVAILABLE", 5],
    ["SANDBOX_NOT_READY", 6],
    ["DEADLINE_EXCEEDED", 6],
    ["REQUEST_INVALID", 2],
    ["SANDBOX_NAME_TAKEN", 1],
    ["ISOLATION_NOT_AVAILABLE", 1],
    ["INTERNAL", 1],
  ] as const)("%s exits with %i", async (reason, code) => {
    expect((await describeFailure(new ServiceError(reason, "words"))).exitCode).toBe(code);
  });

  it("comes with the mend of its reason, for every reason", async () => {
    for (const { localName, number } of ErrorReasonSchema.values) {
      if (number === 0) continue;
      const reason = localName as Reason; // the enum's own names
      const report = await describeFailure(new ServiceError(reason, "words", { field: "name" }));
      expect(report).toMatchObject({
        message: "words",
        reason,
        metadata: { field: "name" },
        mend: describeReason(reason).mend,
      });
    }
  });
});

describe("the exit code of a failure of our own", () => {
  it.each([
    ["a wrong argument", usageFailure("no such thing", "do this"), 2],
    ["a configuration error", Object.assign(new Error("faults"), { exitCode: 2 }), 2],
    ["anything else", new Error("broken"), 1],
    ["a thrown word", "broken", 1],
  ])("%s", async (_, error, code) => {
    expect((await describeFailure(error)).exitCode).toBe(code);
  });
});

it("documents every exit code", () => {
  for (const code of Object.values(exitCodes)) expect(exitCodesHelp).toMatch(new RegExp(`^ +${code}[ +]`, "m"));
});
