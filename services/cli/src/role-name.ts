/** The roles by the names that people use. */
export const roleNames = ["viewer", "operator", "admin"] as const;

/** A role's name. */
export type RoleName = (typeof roleNames)[number];

/** The number that sandgate.options.v1.Role gives a role. */
export function roleOf(name: RoleName): number {
  return { viewer: 1, operator: 2, admin: 3 }[name];
}
