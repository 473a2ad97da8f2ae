import type { ClaimsByKind } from "./token-claims.ts";
import type { TokenKind } from "./token-kind.ts";

/** "count": a whole number that is a bigint in the claims and came as a safe integer. */
type Form = "plain" | "count";

const lifetime = { tokenId: "plain", issuedAtMs: "plain", expiresAtMs: "plain" } as const;
const sandbox = { sandboxId: "plain", organizationId: "plain", incarnation: "count", ...lifetime } as const;

/** Every claim of every kind: one that is missing here does not compile. */
const forms: { readonly [K in TokenKind]: Readonly<Record<Exclude<keyof ClaimsByKind[K], "kind">, Form>> } = {
  bootstrap: sandbox,
  session: { ...sandbox, keyThumbprint: "plain" },
  user: { ...lifetime, userId: "plain", organizationId: "plain", role: "plain", session: "plain" },
  egress: {
    ...sandbox,
    audience: "plain",
    enforceContainerBinding: "plain",
    useEgressGateway: "plain",
    enforceCentralizedEgress: "plain",
    isHipaaRegulated: "plain",
    isPciCompliant: "plain",
    allowedHosts: "plain",
    confirmation: "plain",
  },
  "exchange-permit": { ...sandbox, audience: "plain", policyRevision: "count" },
};

/** Writes the claims of one kind as one short text, and reads them back. An object of the same claims takes twice the memory. */
export interface ClaimsPacker<C> {
  /** `notes` stand before the claims. */
  pack(notes: readonly number[], claims: C): string;
  /** What `pack` wrote, as values: the notes, then what `claimsOf` reads. */
  unpack(text: string): readonly unknown[];
  /** The claims behind that many notes. */
  claimsOf(values: readonly unknown[], notes: number): C;
}

/** A packer for the claims of one kind. */
export function createClaimsPacker<K extends TokenKind>(kind: K): ClaimsPacker<ClaimsByKind[K]> {
  const fields = Object.entries<Form>(forms[kind]);
  return {
    pack(notes, claims) {
      const record: Readonly<Record<string, unknown>> = { ...claims };
      const values = fields.map(([name, form]) => (form === "count" ? Number(record[name]) : record[name]));
      return JSON.stringify([...notes, ...values]);
    },
    unpack(text) {
      const values: unknown = JSON.parse(text);
      return Array.isArray(values) ? values : [];
    },
    claimsOf(values, notes) {
      const claims: Record<string, unknown> = { kind };
      let index = notes;
      for (const [name, form] of fields) {
        const value = values[index++];
        // what was undefined came back as null; no claim of ours is null
        if (value !== null) claims[name] = form === "count" ? BigInt(value as number) : value;
      }
      return claims as unknown as ClaimsByKind[K]; // `pack` was given nothing else
    },
  };
}
