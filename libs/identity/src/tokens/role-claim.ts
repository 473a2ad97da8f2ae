import type { Role } from "@sandgate/api/options";

/** The role that a token says, by its name. Numbers of sandgate.options.v1.Role, which is imported as a type alone: what verifies tokens elsewhere needs no generated code. */
const roles: Readonly<Record<string, Role>> = { viewer: 1, operator: 2, admin: 3 };

/** The name of a role in a token. Throws TypeError for a role that has none. */
export function formatRole(role: Role): string {
  const found = Object.entries(roles).find(([, number]) => number === role);
  if (found === undefined) throw new TypeError("a role without a name");
  return found[0];
}

/** The role of that name; undefined for any other text. */
export function parseRole(name: unknown): Role | undefined {
  return typeof name === "string" && Object.hasOwn(roles, name) ? roles[name] : undefined;
}
