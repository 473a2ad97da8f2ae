import { create } from "@bufbuild/protobuf";
import { DurationSchema, TimestampSchema, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Decision, DecisionSchema, Verdict } from "@sandgate/api/policy";
import { ServiceError } from "@sandgate/rpc";
import { cleanText } from "../domain/clean-text.ts";
import type { DecisionRecord } from "../domain/decision-record.ts";
import { decisionIdPattern, sandboxIdPattern } from "../domain/ids.ts";
import { fromMicroseconds, microsecondsOf } from "./microseconds.ts";

/**
 * Brings a reported decision into the form in which it is stored. What the sandbox may have written into it is cut and
 * cleaned, so that nothing it does can hold up its proxy's report; a time in the future becomes `nowMs`.
 * Throws REQUEST_INVALID for ids and verdicts, which only a faulty proxy gets wrong.
 */
export function readDecision(decision: Decision, index: number, nowMs: number): DecisionRecord {
  const require = (holds: boolean, field: string): void => {
    if (!holds)
      throw new ServiceError("REQUEST_INVALID", "a decision is not well formed", {
        field: `decisions[${index}].${field}`,
      });
  };
  require(decisionIdPattern.test(decision.decisionId), "decision_id");
  require(sandboxIdPattern.test(decision.sandboxId), "sandbox_id");
  require(knownVerdicts.has(decision.verdict), "verdict");
  const nowUs = BigInt(nowMs) * 1000n;
  const timeUs = microsecondsOf(decision.time ?? timestampFromMs(nowMs));
  return {
    decisionId: decision.decisionId,
    sandboxId: decision.sandboxId,
    timeUs: timeUs < 0n || timeUs > nowUs ? nowUs : timeUs,
    verdict: decision.verdict,
    reason: cleanText(decision.reason, 64),
    method: cleanText(decision.method, 32),
    host: cleanText(decision.host, 255),
    port: decision.port <= 65_535 ? decision.port : 0,
    rule: cleanText(decision.rule, 63),
    policyRevision: notNegative(decision.policyRevision),
    address: cleanText(decision.address, 64),
    sentBytes: notNegative(decision.sentBytes),
    receivedBytes: notNegative(decision.receivedBytes),
    durationUs: decision.duration === undefined ? undefined : notNegative(microsecondsOf(decision.duration)),
  };
}

/** Turns a stored decision into a message. */
export function writeDecision({ timeUs, durationUs, ...rest }: DecisionRecord): Decision {
  return create(DecisionSchema, {
    ...rest,
    time: create(TimestampSchema, fromMicroseconds(timeUs)),
    ...(durationUs === undefined ? {} : { duration: create(DurationSchema, fromMicroseconds(durationUs)) }),
  });
}

const knownVerdicts: ReadonlySet<Verdict> = new Set([
  Verdict.ALLOWED,
  Verdict.DENIED,
  Verdict.FAILED,
  Verdict.WOULD_DENY,
]);

function notNegative(value: bigint): bigint {
  return value < 0n ? 0n : value;
}
