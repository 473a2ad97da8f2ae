import { createHash } from "node:crypto";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { PolicyRevisionSchema, SandboxProvidersSchema, type WatchPoliciesResponseSchema } from "@sandgate/api/policy";
import type { PolicyChanges } from "../store/policy-store.ts";
import type { GrantedProvider } from "../store/provider-store.ts";

/** A message is at most 4 MiB, and what one sandbox adds to it at most 2. */
const fullMessageBytes = 2 * 1024 * 1024;

type Message = MessageInitShape<typeof WatchPoliciesResponseSchema>;

/**
 * A page of changes as messages of the stream, each of a size that can be sent. All but the last say the version `after` which the page
 * begins: whoever resumes there is told all of it again.
 */
export function* policyMessages(
  page: PolicyChanges,
  granted: readonly GrantedProvider[],
  { after, snapshot }: { readonly after: bigint; readonly snapshot: boolean },
): Generator<Message> {
  const bySandbox = Map.groupBy(granted, ({ sandboxId }) => sandboxId);
  let upserted: PolicyChanges["upserted"][number][] = [];
  let providers: NonNullable<Message["providers"]> = [];
  let sizeBytes = 0;
  let first = true;
  for (const revision of page.upserted) {
    const own = providersOfSandbox(revision.sandboxId, bySandbox.get(revision.sandboxId) ?? []);
    const addedBytes = toBinary(PolicyRevisionSchema, revision).length + toBinary(SandboxProvidersSchema, own).length;
    if (upserted.length > 0 && sizeBytes + addedBytes > fullMessageBytes) {
      yield { version: after, snapshot: snapshot && first, upserted, providers };
      [upserted, providers, sizeBytes, first] = [[], [], 0, false];
    }
    upserted.push(revision);
    if (own.providers.length > 0) providers = [...providers, own];
    sizeBytes += addedBytes;
  }
  yield {
    version: page.version,
    snapshot: snapshot && first,
    upserted,
    providers,
    removedSandboxIds: [...page.removedSandboxIds],
  };
}

function providersOfSandbox(sandboxId: string, granted: readonly GrantedProvider[]) {
  return create(SandboxProvidersSchema, {
    sandboxId,
    providers: granted.map(({ providerId, provider, placeholder }) => ({
      providerId,
      provider,
      placeholderDigest: createHash("sha256").update(placeholder).digest(),
    })),
  });
}
