/**
 * A name for a rule, made of its host: `*.example.com` becomes `any-example-com`, a second one `any-example-com-2`. It is none of those
 * that are taken, and is taken from then on.
 */
export function ruleName(host: string, taken: Set<unknown>): string {
  const plain = host
    .toLowerCase()
    .replace(/^\*\./, "any-")
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 56)
    .replace(/-+$/, "");
  const stem = plain === "" ? "rule" : plain;
  let name = stem;
  for (let count = 2; taken.has(name); count++) name = `${stem}-${count}`;
  taken.add(name);
  return name;
}
