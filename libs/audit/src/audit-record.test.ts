import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { encodeAuditRecord, firstHash, hashAuditRecord, toStoredRecord } from "./audit-record.ts";

const record = { action: "call.denied", principal: "anonymous", peer: "none" };

test("the encoding is fixed: anyone can compute the chain again", () => {
  const stored = toStoredRecord({ ...record, sandboxId: "sbx-1", details: { b: "2", a: "1" } }, 1_700_000_000_123);
  const encoded = encodeAuditRecord(stored);
  expect(encoded).toBe(
    '{"time":"2023-11-14T22:13:20.123Z","action":"call.denied","principal":"anonymous","peer":"none","organization_id":"","sandbox_id":"sbx-1","details":{"a":"1","b":"2"}}',
  );
  const expected = createHash("sha256").update(Buffer.alloc(32)).update(`1\n${encoded}`).digest("hex");
  expect(hashAuditRecord(firstHash, 1n, encoded).toString("hex")).toBe(expected);
});

test("whatever a caller sends is made fit for storage, once and for all", async () => {
  await fc.assert(
    fc.property(
      fc.string({ unit: "binary", maxLength: 2_000 }),
      fc.dictionary(fc.string(), fc.string({ unit: "binary" })),
      (text, details) => {
        const stored = toStoredRecord({ ...record, sandboxId: text, details }, 0);
        expect(stored.sandboxId.isWellFormed()).toBe(true);
        expect(stored.sandboxId).not.toContain("\u0000");
        expect(stored.sandboxId.length).toBeLessThanOrEqual(1_025);
        expect(encodeAuditRecord(JSON.parse(JSON.stringify(stored)))).toBe(encodeAuditRecord(stored));
      },
    ),
  );
});
