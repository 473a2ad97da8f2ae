/** A session token that was issued, with the certificate that it came with. */
export interface SessionRecord {
  /** The token's jti. */
  readonly tokenId: string;
  readonly sandboxId: string;
  readonly organizationId: string;
  readonly incarnation: bigint;
  readonly keyThumbprint: string;
  /** The kid of the key that signs the token. */
  readonly signingKeyId: string;
  /** Whole seconds, in milliseconds since the epoch. */
  readonly issuedAtMs: number;
  /** Whole seconds, in milliseconds since the epoch. */
  readonly expiresAtMs: number;
  readonly certificateDer: Uint8Array;
  /** Hexadecimal. */
  readonly certificateSha256: string;
  readonly certificateExpiresAtMs: number;
}
