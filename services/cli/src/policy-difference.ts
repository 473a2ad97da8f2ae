import type { AuthoredPolicy, AuthoredRule } from "@sandgate/policy";

/** What makes one policy of another. Rules are the same when they have the same name. */
export interface PolicyDifference {
  readonly added: readonly AuthoredRule[];
  readonly removed: readonly AuthoredRule[];
  readonly changed: readonly { readonly from: AuthoredRule; readonly to: AuthoredRule }[];
  /** Everything beside the rules that differs, by section; undefined where it is absent. */
  readonly sections: Readonly<Record<string, { readonly from: unknown; readonly to: unknown }>>;
}

/** Compares two policies as `formatAuthoredPolicy` writes them. The order of rules is of no account: it only names who decides first. */
export function comparePolicies(from: AuthoredPolicy, to: AuthoredPolicy): PolicyDifference {
  const before = new Map(from.rules.map((rule) => [nameOf(rule), rule]));
  const after = new Map(to.rules.map((rule) => [nameOf(rule), rule]));
  const sections = ["mode", "identity", "inference", "providers"] as const;
  return {
    added: [...after].filter(([name]) => !before.has(name)).map(([, rule]) => rule),
    removed: [...before].filter(([name]) => !after.has(name)).map(([, rule]) => rule),
    changed: [...after].flatMap(([name, rule]) => {
      const old = before.get(name);
      return old === undefined || isSame(old, rule) ? [] : [{ from: old, to: rule }];
    }),
    sections: Object.fromEntries(
      sections
        .filter((section) => !isSame(from[section], to[section]))
        .map((section) => [section, { from: from[section], to: to[section] }]),
    ),
  };
}

/** A line for each thing that differs, as diff(1) marks it. */
export function formatDifference({ added, removed, changed, sections }: PolicyDifference): readonly string[] {
  return [
    ...removed.map((rule) => `- ${JSON.stringify(rule)}`),
    ...changed.flatMap(({ from, to }) => [`- ${JSON.stringify(from)}`, `+ ${JSON.stringify(to)}`]),
    ...added.map((rule) => `+ ${JSON.stringify(rule)}`),
    ...Object.entries(sections).flatMap(([section, { from, to }]) => [
      ...(from === undefined ? [] : [`- ${section}: ${JSON.stringify(from)}`]),
      ...(to === undefined ? [] : [`+ ${section}: ${JSON.stringify(to)}`]),
    ]),
  ];
}

function nameOf(rule: AuthoredRule): string {
  return typeof rule === "string" ? rule : (rule.name ?? "");
}

function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
