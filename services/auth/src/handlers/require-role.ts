import { Role } from "@sandgate/api/options";
import { ServiceError } from "@sandgate/rpc";

/** A role that somebody can have. Throws REQUEST_INVALID for any other number. */
export function requireRole(role: Role): Role.VIEWER | Role.OPERATOR | Role.ADMIN {
  if (role === Role.VIEWER || role === Role.OPERATOR || role === Role.ADMIN) return role;
  throw new ServiceError("REQUEST_INVALID", "this is no role", { field: "role" });
}
