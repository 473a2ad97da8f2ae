/** A user as far as the rules of administration care. */
export interface AdministeredUser {
  readonly userId: string;
  readonly organizationId: string;
  readonly role: number;
  readonly active: boolean;
  /** Whether the configuration names the user. */
  readonly configured: boolean;
  /** Whether an OpenID provider's tokens say the role. */
  readonly federated: boolean;
}

/** What an administrator does to a user. */
export type UserChange =
  | { readonly kind: "disable" }
  | { readonly kind: "enable" }
  | { readonly kind: "set-role"; readonly role: number };

/** What becomes of it. "not_admin": the caller has just lost the role, perhaps by whom they would have changed. */
export type UserChangeDecision = "change" | "unchanged" | "absent" | "configured" | "federated" | "own" | "not_admin";

/** sandgate.options.v1.Role.ADMIN */
const ADMIN = 3;

/** Decides on a change of a user by an administrator. An organization always keeps one: nobody takes the role from themselves. */
export function decideUserChange(
  caller: AdministeredUser | undefined,
  target: AdministeredUser | undefined,
  change: UserChange,
): UserChangeDecision {
  if (caller === undefined || !caller.active || caller.role < ADMIN) return "not_admin";
  if (target === undefined || target.organizationId !== caller.organizationId) return "absent";
  if (target.userId === caller.userId) return "own";
  if (target.configured) return "configured";
  switch (change.kind) {
    case "disable":
      return target.active ? "change" : "unchanged";
    case "enable":
      return target.active ? "unchanged" : "change";
    case "set-role":
      if (target.federated) return "federated";
      return target.role === change.role ? "unchanged" : "change";
  }
}
