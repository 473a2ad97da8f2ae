import { createHash } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { SandboxCredentialsSchema } from "@sandgate/api/auth";
import { mintToken, type TokenSigner } from "@sandgate/identity";
import { type CertificateAuthority, CertificateRequestError, type IssuedSandboxLeaf } from "@sandgate/pki/authority";
import { ServiceError } from "@sandgate/rpc";
import type { SessionRecord } from "../domain/session-record.ts";
import type { SigningKeyRing } from "../keys/signing-keys.ts";

/** How long credentials live, in milliseconds. */
export interface CredentialLives {
  /** Default 15 minutes; 5 minutes to 24 hours. */
  readonly sessionMs: number;
  /** At most an hour. */
  readonly certificateMs: number;
}

interface Holder {
  readonly sandboxId: string;
  readonly organizationId: string;
  readonly incarnation: bigint;
}

/** Makes sandbox certificates and the session tokens bound to their keys. Nothing it makes counts before it is stored. */
export class CredentialIssuer {
  readonly #authority: CertificateAuthority;
  readonly #keys: Pick<SigningKeyRing, "current" | "find" | "load">;
  readonly #trustDomain: string;
  readonly #lives: CredentialLives;
  readonly #clock: () => number;
  readonly #newTokenId: () => string;

  constructor(deps: {
    readonly authority: CertificateAuthority;
    readonly keys: Pick<SigningKeyRing, "current" | "find" | "load">;
    readonly trustDomain: string;
    readonly lives: CredentialLives;
    readonly clock: () => number;
    readonly newTokenId: () => string;
  }) {
    this.#authority = deps.authority;
    this.#keys = deps.keys;
    this.#trustDomain = deps.trustDomain;
    this.#lives = deps.lives;
    this.#clock = deps.clock;
    this.#newTokenId = deps.newTokenId;
  }

  /** A session for the key of a certificate request. Throws CSR_INVALID for a request that cannot be certified. */
  async certifyRequest(
    holder: Holder,
    certificateRequest: Uint8Array,
  ): Promise<{ readonly session: SessionRecord; readonly publicKeyDer: Uint8Array }> {
    try {
      const leaf = await this.#authority.issueSandboxCertificate({ ...this.#leafOf(holder), certificateRequest });
      return { session: this.#sessionOf(holder, leaf), publicKeyDer: leaf.publicKeyDer };
    } catch (cause) {
      if (!(cause instanceof CertificateRequestError)) throw cause;
      throw new ServiceError("CSR_INVALID", "the certificate request cannot be certified", {}, { cause });
    }
  }

  /** A session for a key that the register knows. */
  async certifyKey(holder: Holder, publicKeyDer: Uint8Array): Promise<SessionRecord> {
    const leaf = await this.#authority.renewSandboxCertificate({ ...this.#leafOf(holder), publicKeyDer });
    return this.#sessionOf(holder, leaf);
  }

  /** The credentials of a stored session: the same at every call and at every replica. */
  async credentialsOf(session: SessionRecord): Promise<MessageInitShape<typeof SandboxCredentialsSchema>> {
    const signer = await this.#findSigner(session.signingKeyId);
    if (signer === undefined)
      throw new ServiceError("CREDENTIAL_REVOKED", "the key that has signed this session is revoked");
    const token = await mintToken({
      signer,
      trustDomain: this.#trustDomain,
      claims: {
        kind: "session",
        tokenId: session.tokenId,
        sandboxId: session.sandboxId,
        organizationId: session.organizationId,
        incarnation: session.incarnation,
        keyThumbprint: session.keyThumbprint,
        issuedAtMs: session.issuedAtMs,
        expiresAtMs: session.expiresAtMs,
      },
    });
    return {
      certificateChain: [session.certificateDer],
      token,
      certificateExpireTime: timestampFromMs(session.certificateExpiresAtMs),
      tokenExpireTime: timestampFromMs(session.expiresAtMs),
    };
  }

  async #findSigner(kid: string): Promise<TokenSigner | undefined> {
    const known = this.#keys.find(kid);
    if (known === undefined) await this.#keys.load(); // another replica's, which ours has not heard of yet
    return known ?? this.#keys.find(kid);
  }

  #leafOf({ sandboxId }: Holder) {
    return { trustDomain: this.#trustDomain, sandboxId, lifeMs: this.#lives.certificateMs, now: this.#clock() };
  }

  #sessionOf(holder: Holder, leaf: IssuedSandboxLeaf): SessionRecord {
    const issuedAtMs = Math.floor(this.#clock() / 1000) * 1000;
    return {
      tokenId: this.#newTokenId(),
      sandboxId: holder.sandboxId,
      organizationId: holder.organizationId,
      incarnation: holder.incarnation,
      keyThumbprint: leaf.keyThumbprint,
      signingKeyId: this.#keys.current("EdDSA").kid,
      issuedAtMs,
      expiresAtMs: issuedAtMs + this.#lives.sessionMs,
      certificateDer: leaf.der,
      certificateSha256: createHash("sha256").update(leaf.der).digest("hex"),
      certificateExpiresAtMs: leaf.notAfter,
    };
  }
}
