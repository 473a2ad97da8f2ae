import { randomBytes } from "node:crypto";
import type { AuthService, RejoinSandboxRequest } from "@sandgate/api/auth";
import { type DenialRecorder, recordRefusal } from "@sandgate/identity";
import { type Handler, ServiceError } from "@sandgate/rpc";
import type { CredentialIssuer } from "../credentials/credential-issuer.ts";
import { isRejoinProof } from "../credentials/rejoin-proof.ts";
import type { AuthStore } from "../store/auth-store.ts";
import type { TrustFeed } from "../trust/trust-feed.ts";
import { actorOfCall } from "./actor-of-call.ts";

/** So long a supervisor may take for its proof, in milliseconds. */
const PROOF_MS = 10_000;
/** So many are waited for at once. Anybody can begin, so the one who has kept us waiting longest makes room for the next. */
const MAX_WAITING = 500;

/**
 * AuthService.RejoinSandbox: new credentials for a supervisor that proves the key it enrolled with. Whoever does not prove it learns
 * nothing: the challenge and the refusal are the same for a sandbox that does not exist.
 */
export function rejoinSandbox(deps: {
  readonly store: Pick<AuthStore, "findEnrolledKey" | "rejoin">;
  readonly issuer: CredentialIssuer;
  readonly feed: Pick<TrustFeed, "reached">;
  readonly recordDenial: DenialRecorder;
  readonly clock: () => number;
  /** Default 10 seconds. */
  readonly proofTimeoutMs?: number;
  /** Default 500. */
  readonly maxWaiting?: number;
}): Handler<typeof AuthService.method.rejoinSandbox> {
  const { proofTimeoutMs = PROOF_MS, maxWaiting = MAX_WAITING } = deps;
  /** In the order in which they began. */
  const waiting = new Set<AbortController>();
  return async function* (requests, call) {
    const room = new AbortController();
    const [longest] = waiting;
    if (longest !== undefined && waiting.size >= maxWaiting) {
      waiting.delete(longest);
      longest.abort();
    }
    waiting.add(room);
    try {
      const messages = requests[Symbol.asyncIterator]();
      const sandboxId = sandboxIdOf(await messages.next());
      const challenge = randomBytes(32);
      yield { step: { case: "challenge" as const, value: challenge } };
      const proof = proofOf(await within(proofTimeoutMs, messages.next(), { call: call.signal, room: room.signal }));
      waiting.delete(room);
      const enrolled = await deps.store.findEnrolledKey(sandboxId);
      const about = { sandboxId, organizationId: enrolled?.organizationId ?? "" };
      const refuse = (error: ServiceError) => recordRefusal(deps.recordDenial, call, about, error);
      if (!isRejoinProof(enrolled?.publicKeyDer, { sandboxId, challenge, signature: proof.signature }) || !enrolled)
        throw await refuse(notProved());
      const holder = { sandboxId, organizationId: enrolled.organizationId, incarnation: enrolled.incarnation };
      const session = await deps.issuer.certifyKey(holder, enrolled.publicKeyDer);
      const { decision, sequence } = await deps.store.rejoin(
        { rejoinCount: proof.rejoinCount, session },
        deps.clock(),
        actorOfCall(call),
      );
      await deps.feed.reached(sequence);
      if (decision === "refuse") throw await refuse(notProved());
      if (decision === "cloned")
        throw await refuse(new ServiceError("CREDENTIAL_REVOKED", "the key has a second holder and is revoked"));
      yield { step: { case: "credentials" as const, value: await deps.issuer.credentialsOf(session) } };
    } finally {
      waiting.delete(room);
    }
  };
}

function notProved(): ServiceError {
  return new ServiceError("PROOF_REJECTED", "the proof is not valid for a living sandbox");
}

function sandboxIdOf(first: IteratorResult<RejoinSandboxRequest>): string {
  const step = first.done === true ? undefined : first.value.step;
  if (step?.case !== "sandboxId" || !/^sbx-[a-z2-7]{20}$/.test(step.value))
    throw new ServiceError("REQUEST_INVALID", "the first message must name a sandbox", { field: "sandbox_id" });
  return step.value;
}

function proofOf(second: IteratorResult<RejoinSandboxRequest>): { signature: Uint8Array; rejoinCount: bigint } {
  const message = second.done === true ? undefined : second.value;
  if (message?.step.case !== "proof" || message.step.value.length !== 64)
    throw new ServiceError("REQUEST_INVALID", "the second message must be a proof", { field: "proof" });
  if (message.rejoinCount < 1n)
    throw new ServiceError("REQUEST_INVALID", "a rejoin counts from one", { field: "rejoin_count" });
  return { signature: message.step.value, rejoinCount: message.rejoinCount };
}

async function within<T>(
  timeoutMs: number,
  answer: Promise<T>,
  ended: { readonly call: AbortSignal; readonly room: AbortSignal },
): Promise<T> {
  const { promise: over, reject } = Promise.withResolvers<never>();
  const leave = () => reject(new ServiceError("CANCELLED", "the caller has gone away"));
  const makeRoom = () => reject(new ServiceError("LIMIT_REACHED", "too many are rejoining: prove the key at once"));
  const timer = setTimeout(() => reject(new ServiceError("DEADLINE_EXCEEDED", "the proof took too long")), timeoutMs);
  if (ended.room.aborted) makeRoom();
  ended.call.addEventListener("abort", leave);
  ended.room.addEventListener("abort", makeRoom);
  try {
    return await Promise.race([answer, over]);
  } finally {
    clearTimeout(timer);
    ended.call.removeEventListener("abort", leave);
    answer.catch(() => undefined); // it may fail after it was given up
  }
}
