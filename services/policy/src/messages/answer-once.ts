import { createHash } from "node:crypto";
import { type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import type { SandboxScope } from "@sandgate/identity";
import { ServiceError } from "@sandgate/rpc";
import { uuidPattern } from "../domain/ids.ts";
import type { PolicyAuthor } from "../store/policy-store.ts";
import type { ProposalStore, RequestClaim } from "../store/proposal-store.ts";

/**
 * Answers a request that carries a request_id as the first time, if it was answered before; else has it done by `act`, which must pass the
 * claim to the store. Throws REQUEST_INVALID for what is no UUID, and REQUEST_ID_REUSED for the id of another request or caller.
 */
export async function answerOnce<I extends DescMessage, O extends DescMessage>(
  method: Method<I, O>,
  asked: {
    readonly request: MessageShape<I> & { readonly requestId: string };
    readonly scope: SandboxScope;
    readonly author: PolicyAuthor;
    readonly store: Pick<ProposalStore, "findAnswer">;
  },
  act: (claim: RequestClaim | undefined) => Promise<Uint8Array>,
): Promise<MessageShape<O>> {
  const { request, scope, author, store } = asked;
  const claim = readClaim(method, request, scope, author);
  const answered = claim === undefined ? undefined : await store.findAnswer(scope, claim);
  return fromBinary(method.output, answered ?? (await act(claim)));
}

interface Method<I, O> {
  readonly name: string;
  readonly input: I;
  readonly output: O;
}

function readClaim<I extends DescMessage>(
  method: Method<I, unknown>,
  request: MessageShape<I> & { readonly requestId: string },
  scope: SandboxScope,
  author: PolicyAuthor,
): RequestClaim | undefined {
  const { requestId } = request;
  if (requestId === "") return undefined;
  if (!uuidPattern.test(requestId))
    throw new ServiceError("REQUEST_INVALID", "a request id is a UUID", { field: "request_id" });
  const digest = createHash("sha256")
    .update(JSON.stringify([method.name, scope.sandboxId, author.principal]))
    .update(toBinary(method.input, request))
    .digest();
  return { requestId: requestId.toLowerCase(), digest };
}
