import type { AccessService } from "@sandgate/api/access";
import { type Handler, ServiceError } from "@sandgate/rpc";
import type { Logger } from "@sandgate/telemetry";
import { readClientAddress } from "../domain/client-address.ts";
import type { EnvelopeMetrics } from "../envelope-metrics.ts";
import type { Grants } from "../grants.ts";
import { type AccessLimits, judgeToken } from "../tokens/judge-token.ts";
import { type TokenRules, verifyAccessToken } from "../tokens/verify-access-token.ts";
import { grantMessage } from "./grant-message.ts";
import { refusalError } from "./refusal-error.ts";

/** AccessService.OpenEnvelope: lets the caller's address in on a token, until its deadline, its end by either side, or the stop of the envelope. */
export function openEnvelope(deps: {
  readonly grants: Grants;
  readonly tokens: TokenRules;
  readonly limits: AccessLimits;
  readonly metrics: EnvelopeMetrics;
  /** Aborts when the envelope stops. */
  readonly stopping: AbortSignal;
  readonly clock: () => number;
  readonly monotonic: () => number;
  readonly logger: Logger;
}): Handler<typeof AccessService.method.openEnvelope> {
  const { grants, metrics, monotonic, logger } = deps;
  return async function* ({ token }, call) {
    const address = readClientAddress(call.connection.remoteAddress);
    const judged =
      address === undefined
        ? ({ outcome: "refused", refusal: "peer_address" } as const)
        : await judgeToken(address, deps.limits, () =>
            verifyAccessToken(token, deps.tokens, { address, nowMs: deps.clock() }),
          );
    const opened = judged.outcome === "good" ? await grants.open(judged.addresses, judged.claims) : judged;
    if (opened.outcome === "refused") {
      metrics.countRequest(opened.refusal);
      throw refusalError(opened.refusal, opened.retryAfterMs);
    }
    const { lease } = opened;
    const openedAt = monotonic();
    const ended = Promise.withResolvers<"deadline" | "client_closed" | "revoked" | "stopping">();
    const stop = () => ended.resolve("stopping");
    const leave = () => ended.resolve("client_closed");
    const timer = setTimeout(() => ended.resolve("deadline"), lease.deadlineMs - openedAt);
    grants.onRevoke(lease, () => ended.resolve("revoked"));
    call.signal.addEventListener("abort", leave);
    deps.stopping.addEventListener("abort", stop);
    if (call.signal.aborted) leave();
    if (deps.stopping.aborted) stop();
    metrics.countRequest("granted");
    logger.info({ lease: lease.id, call: call.id }, "granted");
    let end: Awaited<typeof ended.promise> = "client_closed"; // unless the stream is read to its end
    try {
      yield { grant: grantMessage(lease, deps) };
      end = await ended.promise;
    } finally {
      clearTimeout(timer);
      call.signal.removeEventListener("abort", leave);
      deps.stopping.removeEventListener("abort", stop);
      metrics.countShut(await grants.close(lease));
      metrics.countEnd(end === "stopping" ? "revoked" : end, monotonic() - openedAt);
      logger.info({ lease: lease.id, end }, "ended");
    }
    if (end === "revoked") throw new ServiceError("GRANT_REVOKED", "the grant was revoked");
    if (end === "stopping") throw refusalError("stopping");
  };
}
