import { create } from "@bufbuild/protobuf";
import { AuditFault } from "@sandgate/api/audit";
import { VerifyAuditLogRequestSchema } from "@sandgate/api/auth";
import type { AuditHead, AuditVerification } from "@sandgate/audit";
import type { Call } from "@sandgate/rpc";
import { describe, expect, it } from "vitest";
import { verifyAuditLog } from "./verify-audit-log.ts";

const hash = "ab".repeat(32);
const { signal } = new AbortController();

async function ask(found: AuditVerification, expected?: AuditHead) {
  const asked: unknown[] = [];
  const audit = {
    verify: async (options: object = {}): Promise<AuditVerification> => {
      asked.push(options);
      return found;
    },
  };
  const request = create(VerifyAuditLogRequestSchema, expected === undefined ? {} : { expected });
  const call = { signal } as unknown as Call; // all that is asked of it
  return { asked, outcome: (await verifyAuditLog({ audit })(request, call)).outcome };
}

describe("G-31 VerifyAuditLog", () => {
  it("answers the end of an intact log", async () => {
    const { asked, outcome } = await ask({ kind: "intact", head: { sequence: 7n, hash } });
    expect(outcome).toEqual({ case: "intact", value: { sequence: 7n, hash } });
    expect(asked).toEqual([{ signal }]);
  });

  it.each([
    ["changed", AuditFault.CHANGED],
    ["missing", AuditFault.MISSING],
    ["unexpected", AuditFault.UNEXPECTED],
    ["rewritten", AuditFault.REWRITTEN],
  ] as const)("names the first record that is %s", async (fault, told) => {
    const { outcome } = await ask({ kind: "broken", sequence: 3n, fault });
    expect(outcome).toEqual({ case: "broken", value: { sequence: 3n, fault: told } });
  });

  it("compares with an earlier head", async () => {
    const { asked } = await ask({ kind: "intact", head: { sequence: 7n, hash } }, { sequence: 5n, hash });
    expect(asked).toMatchObject([{ expected: { sequence: 5n, hash } }]);
  });

  it.each([
    ["no hash", { sequence: 5n, hash: "" }],
    ["a number below 0", { sequence: -1n, hash }],
  ])("refuses an earlier head with %s", async (_what, expected) => {
    const asking = ask({ kind: "intact", head: { sequence: 7n, hash } }, expected);
    await expect(asking).rejects.toMatchObject({ reason: "REQUEST_INVALID" });
  });
});
