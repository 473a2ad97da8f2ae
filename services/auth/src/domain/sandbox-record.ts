/** A sandbox in the register, with what only Auth may know of it. */
export interface SandboxRecord {
  readonly sandboxId: string;
  readonly organizationId: string;
  readonly name: string;
  readonly ownerUserId: string;
  readonly incarnation: bigint;
  readonly alive: boolean;
  /** False while the current incarnation is revoked. */
  readonly trusted: boolean;
  /** SubjectPublicKeyInfo, DER, of the key that the incarnation enrolled with. */
  readonly publicKeyDer: Uint8Array | undefined;
  readonly keyThumbprint: string | undefined;
  readonly rejoinCount: bigint;
  readonly bootstrap: BootstrapRecord | undefined;
}

/** A sandbox's one bootstrap credential. */
export interface BootstrapRecord {
  /** SHA-256 of its jti, hexadecimal. */
  readonly hash: string;
  readonly expiresAtMs: number;
  /** The key that has used it; undefined while it is unused. */
  readonly keyThumbprint: string | undefined;
}

/** Whether the sandbox's current incarnation may hold credentials. */
export function mayHoldCredentials(record: SandboxRecord): boolean {
  return record.alive && record.trusted;
}
