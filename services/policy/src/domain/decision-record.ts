/** A decision in the form in which it is stored. */
export interface DecisionRecord {
  readonly decisionId: string;
  readonly sandboxId: string;
  /** Microseconds since the epoch. */
  readonly timeUs: bigint;
  /** A value of sandgate.policy.v1.Verdict. */
  readonly verdict: number;
  readonly reason: string;
  readonly method: string;
  readonly host: string;
  readonly port: number;
  readonly rule: string;
  readonly policyRevision: bigint;
  readonly address: string;
  readonly sentBytes: bigint;
  readonly receivedBytes: bigint;
  /** Undefined until the exchange or tunnel has ended. */
  readonly durationUs: bigint | undefined;
}

/** One record for each decision: the last one said, where a report has several, since it says most. */
export function mergeDecisions(records: readonly DecisionRecord[]): readonly DecisionRecord[] {
  const last = new Map<string, DecisionRecord>();
  for (const record of records) last.set(record.decisionId, record);
  return last.size === records.length ? records : [...last.values()];
}
