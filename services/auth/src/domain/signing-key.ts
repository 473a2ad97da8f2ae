/** A key pair that tokens are signed with, as the store keeps it. */
export interface SigningKeyRecord {
  /** RFC 7638 thumbprint. */
  readonly kid: string;
  readonly algorithm: string;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKeyDer: Uint8Array;
  /** The sealed private key; undefined once it is retired or revoked. */
  readonly sealedKey: Uint8Array | undefined;
  readonly publishedAtMs: number;
  /** From when it signs; undefined while nobody has decided. */
  readonly signsFromMs: number | undefined;
  /** When it was taken out of the published keys. */
  readonly retiredAtMs: number | undefined;
  readonly revokedAtMs: number | undefined;
}

/** Where a key is in its life. */
export type SigningKeyState = "next" | "current" | "previous" | "retired" | "revoked";

/** Where a key is in its life. `keys` are at least all of its algorithm. */
export function stateOfKey(key: SigningKeyRecord, keys: readonly SigningKeyRecord[], now: number): SigningKeyState {
  if (key.revokedAtMs !== undefined) return "revoked";
  if (key.retiredAtMs !== undefined) return "retired";
  if (currentKey(keys, key.algorithm, now)?.kid === key.kid) return "current";
  return key.signsFromMs === undefined || key.signsFromMs > now ? "next" : "previous";
}

/** The key that signs now: the last that was to begin by now. A replica whose clock is behind takes the first that ever will. */
export function currentKey(
  keys: readonly SigningKeyRecord[],
  algorithm: string,
  now: number,
): SigningKeyRecord | undefined {
  const signing = inOrder(keys.filter((key) => key.algorithm === algorithm && isPublished(key)));
  return signing.findLast(({ signsFromMs }) => signsFromMs <= now) ?? signing[0];
}

/** Whether verifiers are told of the key. */
export function isPublished(key: SigningKeyRecord): boolean {
  return key.retiredAtMs === undefined && key.revokedAtMs === undefined;
}

/** Which key begins to sign, and when. */
export interface Promotion {
  readonly kid: string;
  readonly signsFromMs: number;
}

/**
 * What a rotation of one algorithm's keys does now: the waiting key begins to sign, once it has been published for `publishMs`, so
 * that every verifier knows it by then. Whoever knows any key knows one that was published together with the first. Undefined while a rotation is under way, or the current key signs for less than `minimumAgeMs`.
 */
export function planRotation(
  keys: readonly SigningKeyRecord[],
  algorithm: string,
  options: { readonly now: number; readonly publishMs: number; readonly minimumAgeMs: number },
): Promotion | undefined {
  const { now, publishMs, minimumAgeMs } = options;
  const waiting = waitingKey(keys, algorithm);
  const current = currentKey(keys, algorithm, now);
  const isUnderWay = keys.some(
    (key) => key.algorithm === algorithm && isPublished(key) && (key.signsFromMs ?? 0) > now,
  );
  if (waiting === undefined || isUnderWay) return undefined;
  if (current?.signsFromMs !== undefined && now - current.signsFromMs < minimumAgeMs) return undefined;
  const isOfTheFirst = !keys.some((key) => key.algorithm === algorithm && key.publishedAtMs < waiting.publishedAtMs);
  return { kid: waiting.kid, signsFromMs: isOfTheFirst ? now : Math.max(now, waiting.publishedAtMs + publishMs) };
}

/**
 * Which key takes the place of a revoked one, at once: where it was signing, the one that was to sign next. Undefined where another
 * signs anyway, or none is there to do it.
 */
export function planSuccession(
  keys: readonly SigningKeyRecord[],
  revoked: SigningKeyRecord,
  now: number,
): Promotion | undefined {
  if (currentKey(keys, revoked.algorithm, now)?.kid !== revoked.kid) return undefined;
  const others = keys.filter(
    (key) => key.algorithm === revoked.algorithm && key.kid !== revoked.kid && isPublished(key),
  );
  const scheduled = inOrder(others).find(({ signsFromMs }) => signsFromMs > now);
  const successor = scheduled ?? waitingKey(others, revoked.algorithm);
  return successor && { kid: successor.kid, signsFromMs: now };
}

/** The key of an algorithm that is published and waits to be chosen. */
export function waitingKey(keys: readonly SigningKeyRecord[], algorithm: string): SigningKeyRecord | undefined {
  return keys.find((key) => key.algorithm === algorithm && isPublished(key) && key.signsFromMs === undefined);
}

/** The previous keys of which nothing can be valid any more: another has signed for longer than any of their tokens lives. */
export function findRetirable(
  keys: readonly SigningKeyRecord[],
  now: number,
  longestLifeMs: (algorithm: string) => number,
): readonly SigningKeyRecord[] {
  return keys.filter((key) => {
    if (!isPublished(key) || key.signsFromMs === undefined) return false;
    const successor = inOrder(keys.filter((other) => other.algorithm === key.algorithm && hasSigned(other, now))).find(
      ({ signsFromMs }) => signsFromMs > (key.signsFromMs ?? 0),
    );
    return successor !== undefined && successor.signsFromMs + longestLifeMs(key.algorithm) <= now;
  });
}

/** One that was revoked before its time never signed. */
function hasSigned({ signsFromMs, revokedAtMs }: SigningKeyRecord, now: number): boolean {
  return signsFromMs !== undefined && signsFromMs <= now && (revokedAtMs === undefined || revokedAtMs > signsFromMs);
}

type SigningKey = SigningKeyRecord & { readonly signsFromMs: number };

function inOrder(keys: readonly SigningKeyRecord[]): readonly SigningKey[] {
  return keys
    .filter((key): key is SigningKey => key.signsFromMs !== undefined)
    .sort((left, right) => left.signsFromMs - right.signsFromMs || (left.kid < right.kid ? -1 : 1));
}
