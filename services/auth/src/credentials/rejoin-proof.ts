import { createPublicKey, generateKeyPairSync, type KeyObject, verify } from "node:crypto";
import { rejoinTranscript } from "../domain/rejoin-transcript.ts";

/** Stands in for the key of a sandbox that there is not: a refusal then takes as long as any other. */
const nobody: KeyObject = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey;

/** Whether a signature proves possession of the key for this sandbox and challenge; never for an absent key. */
export function isRejoinProof(
  publicKeyDer: Uint8Array | undefined,
  proof: { readonly sandboxId: string; readonly challenge: Uint8Array; readonly signature: Uint8Array },
): boolean {
  const key =
    publicKeyDer === undefined
      ? nobody
      : createPublicKey({ key: Buffer.from(publicKeyDer), format: "der", type: "spki" });
  const isSigned = verify(
    "sha256",
    rejoinTranscript(proof.sandboxId, proof.challenge),
    { key, dsaEncoding: "ieee-p1363" },
    proof.signature,
  );
  return isSigned && publicKeyDer !== undefined;
}
