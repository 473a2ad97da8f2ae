import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type SigningKeySchema, SigningKeyState } from "@sandgate/api/auth";
import { type SigningKeyRecord, stateOfKey } from "../domain/signing-key.ts";

const states = {
  next: SigningKeyState.NEXT,
  current: SigningKeyState.CURRENT,
  previous: SigningKeyState.PREVIOUS,
  retired: SigningKeyState.RETIRED,
  revoked: SigningKeyState.REVOKED,
} as const;

/** Signing keys as the contract shows them: by algorithm, the newest first. */
export function toSigningKeyMessages(
  keys: readonly SigningKeyRecord[],
  now: number,
): MessageInitShape<typeof SigningKeySchema>[] {
  const time = (ms: number | undefined) => (ms === undefined ? undefined : timestampFromMs(ms));
  return keys
    .toSorted(
      (left, right) => left.algorithm.localeCompare(right.algorithm) || right.publishedAtMs - left.publishedAtMs,
    )
    .map((key) => ({
      kid: key.kid,
      algorithm: key.algorithm,
      state: states[stateOfKey(key, keys, now)],
      publishTime: timestampFromMs(key.publishedAtMs),
      signTime: time(key.signsFromMs),
      retireTime: time(key.retiredAtMs),
      revokeTime: time(key.revokedAtMs),
    }));
}
