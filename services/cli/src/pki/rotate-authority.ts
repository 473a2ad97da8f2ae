import { createHash, type X509Certificate } from "node:crypto";
import type { AuthorityFiles, AuthorityState } from "@sandgate/pki/authority";

/** A program whose certificates follow their files. */
export interface Verifier {
  readonly name: string;
  /** Has it read its files again, and answers what it uses then. Rejects while it does not answer. */
  certificates(): Promise<{ readonly certificate?: string | undefined; readonly authorities: readonly string[] }>;
  /** SHA-256 of the certificate in its file, hexadecimal; undefined where that is not renewed. */
  ownCertificate?(): Promise<string>;
}

/** How far it is: all verifiers know the next authority, it issues beside the one before, or it is alone. */
export type RotationStage = "published" | "issuing" | "retired";

/** What a rotation came to. */
export interface RotationOutcome {
  readonly stage: RotationStage;
  /** The authority that issues now. */
  readonly current: X509Certificate;
  /** From when the one before can be retired (milliseconds); undefined when that is done or far. */
  readonly retireAtMs?: number;
}

/**
 * Replaces an authority without a moment in which a valid certificate is refused: the next one is published to every verifier, then
 * issues, and when the longest life of what the one before has issued is over, that one is retired. No step is taken before every verifier
 * has said that it has followed the last one. It goes on where an earlier call stopped or died. Throws what a verifier's absence throws.
 */
export async function rotateAuthority(options: {
  readonly files: AuthorityFiles;
  /** Issues the machine's own certificates anew where another authority has issued them. */
  readonly renewLeaves: () => Promise<unknown>;
  readonly longestLeafLifeMs: number;
  /** Retires the one before at once: what it has issued is refused from then on. */
  readonly retireNow: boolean;
  /** Stops after each step, so that what lies elsewhere can follow. */
  readonly oneStep: boolean;
  /** Resolves once the condition holds of every verifier. */
  readonly untilAll: (holds: (verifier: Verifier) => Promise<boolean>) => Promise<void>;
  readonly clock: () => number;
}): Promise<RotationOutcome> {
  const { files, clock } = options;
  const follow = (condition: (authorities: readonly string[]) => boolean): Promise<void> =>
    options.untilAll(async (verifier) => condition((await verifier.certificates()).authorities));
  const begun = await stateOf(files);
  const isNew = begun.next === undefined && begun.previous.length === 0;
  if (isNew) await files.publish(clock());
  const { next } = await stateOf(files);
  if (next !== undefined) {
    await follow((authorities) => authorities.includes(sha256(next)));
    if (isNew && options.oneStep) return { stage: "published", current: begun.current };
    await files.promote();
  }
  await files.arrange();
  await options.renewLeaves();
  await options.untilAll(async (verifier) => {
    const { certificate } = await verifier.certificates();
    return verifier.ownCertificate === undefined || certificate === (await verifier.ownCertificate());
  });
  const { current, previous, retireAtMs = clock() + options.longestLeafLifeMs } = await stateOf(files);
  const isStopped = options.oneStep && next !== undefined;
  if (isStopped || (!options.retireNow && clock() < retireAtMs)) {
    await files.retireAt(retireAtMs);
    return { stage: "issuing", current, retireAtMs };
  }
  await files.retire();
  await follow((authorities) => !previous.some((one) => authorities.includes(sha256(one))));
  return { stage: "retired", current };
}

async function stateOf(files: AuthorityFiles): Promise<AuthorityState> {
  const state = await files.read();
  if (state === undefined) throw new Error("there is no authority");
  return state;
}

function sha256(certificate: X509Certificate): string {
  return createHash("sha256").update(certificate.raw).digest("hex");
}
