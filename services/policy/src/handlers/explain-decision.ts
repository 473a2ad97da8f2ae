import { type PolicyService, Verdict } from "@sandgate/api/policy";
import { type Handler, ServiceError } from "@sandgate/rpc";
import { decisionIdPattern } from "../domain/ids.ts";
import { writeDecision } from "../messages/decision-message.ts";
import { explainDecision as explain } from "../messages/explain-decision.ts";
import type { PolicyStore } from "../store/policy-store.ts";
import { organizationOf } from "./organization-of.ts";

/** PolicyService.ExplainDecision: why a proxy decided as it did, and what to do about it. */
export function explainDecision(deps: {
  readonly store: Pick<PolicyStore, "findDecision">;
  readonly clock: () => number;
}): Handler<typeof PolicyService.method.explainDecision> {
  return async ({ decisionId }, call) => {
    if (!decisionIdPattern.test(decisionId))
      throw new ServiceError("REQUEST_INVALID", "this is no decision's id", { field: "decision_id" });
    const found = await deps.store.findDecision(organizationOf(call), decisionId);
    if (found === undefined) throw new ServiceError("DECISION_NOT_FOUND", "no such decision is kept");
    const { rule, now, outlook, sentences, nextCommand } = explain(found, deps.clock());
    return {
      decision: writeDecision(found.decision),
      ...(rule === undefined ? {} : { rule }),
      currentRevision: found.current.revision,
      currentVerdict: now === undefined ? Verdict.DENIED : verdicts[now.verdict],
      currentReason: now === undefined || now.verdict === "allow" ? "" : now.reason,
      currentRule: now?.rule ?? "",
      outlook,
      explanation: [...sentences],
      nextCommand,
      sandboxGone: found.gone,
    };
  };
}

const verdicts = { allow: Verdict.ALLOWED, deny: Verdict.DENIED, would_deny: Verdict.WOULD_DENY } as const;
