/** The order of P-256. */
const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const half = order >> 1n;

/**
 * Whether a P1363 signature is the one canonical form of itself: r and s from 1 to the order, s in the lower half. The other s
 * also verifies, so that without this rule a token would have two spellings.
 */
export function isCanonicalP256Signature(signature: Uint8Array): boolean {
  if (signature.length !== 64) return false;
  const r = integerOf(signature.subarray(0, 32));
  const s = integerOf(signature.subarray(32));
  return r > 0n && r < order && s > 0n && s <= half;
}

/** The canonical form of a valid P1363 signature. */
export function canonicalP256Signature(signature: Uint8Array): Uint8Array {
  const s = integerOf(signature.subarray(32));
  if (s <= half) return signature;
  const canonical = Buffer.from(signature);
  canonical.write((order - s).toString(16).padStart(64, "0"), 32, "hex");
  return canonical;
}

function integerOf(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
}
