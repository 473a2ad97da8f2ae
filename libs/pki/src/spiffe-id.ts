/** What a SPIFFE id of ours names. */
export type SpiffeKind = "service" | "sandbox" | "user";

/** A SPIFFE id of ours, taken apart. */
export interface SpiffeId {
  readonly trustDomain: string;
  readonly kind: SpiffeKind;
  /** The service's name, the sandbox id or the user id. */
  readonly name: string;
}

const pattern =
  /^spiffe:\/\/([a-z0-9](?:[a-z0-9.-]{0,253}[a-z0-9])?)\/(service|sandbox|user)\/([A-Za-z0-9][A-Za-z0-9._-]{0,127})$/;

/** The id `spiffe://<trust domain>/<kind>/<name>`. Throws TypeError when a part cannot stand in one. */
export function formatSpiffeId(id: SpiffeId): string {
  const text = `spiffe://${id.trustDomain}/${id.kind}/${id.name}`;
  if (!pattern.test(text)) throw new TypeError("a part of the SPIFFE id has characters that it cannot have");
  return text;
}

/** Takes a SPIFFE id of ours apart; undefined for every other text, however close it looks. */
export function parseSpiffeId(text: string): SpiffeId | undefined {
  const match = text.length <= 512 ? pattern.exec(text) : null;
  const [, trustDomain, kind, name] = match ?? [];
  if (trustDomain === undefined || kind === undefined || name === undefined) return undefined;
  return { trustDomain, kind: kind as SpiffeKind, name }; // the pattern admits these three kinds alone
}
