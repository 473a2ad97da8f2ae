/**
 * The value that a dotted path names in the claims of a token; undefined when there is none. `\.` stands for a dot that is part of a
 * name: `realm_access.roles`, `https://example\.com/roles`. Only what the token itself says is found.
 */
export function findClaim(claims: Readonly<Record<string, unknown>>, path: string): unknown {
  let node: unknown = claims;
  for (const name of splitClaimPath(path)) {
    if (typeof node !== "object" || node === null || Array.isArray(node) || !Object.hasOwn(node, name))
      return undefined;
    node = (node as Readonly<Record<string, unknown>>)[name];
  }
  return node;
}

/** The claim as a list of words: a list of texts as it is, a text as one word; everything else says nothing. */
export function findClaimWords(claims: Readonly<Record<string, unknown>>, path: string): readonly string[] {
  const value = findClaim(claims, path);
  if (typeof value === "string") return [value];
  return Array.isArray(value) ? value.filter((word) => typeof word === "string") : [];
}

function splitClaimPath(path: string): readonly string[] {
  return path.split(/(?<!\\)\./).map((name) => name.replaceAll("\\.", "."));
}
