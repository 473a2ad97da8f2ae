import { createHash } from "node:crypto";

/**
 * When to renew a credential (G-14): at about 80 % of its life, moved by up to 4 % of it, the same for the same seed, so that sandboxes
 * which were created together do not return together; at least 60 s and at most 12 h from its issue, but never later than 90 % of its life.
 */
export function renewalTime(options: { issuedAt: number; expiresAt: number; seed: string }): number {
  const lifeMs = Math.max(0, options.expiresAt - options.issuedAt);
  const share = createHash("sha256").update(options.seed).digest().readUInt32BE(0) / 0xffffffff;
  const wantedMs = lifeMs * (0.76 + share * 0.08);
  const clampedMs = Math.min(Math.max(wantedMs, 60_000), 12 * 60 * 60_000);
  return options.issuedAt + Math.min(clampedMs, lifeMs * 0.9);
}
