/** The part of `process` that knows who runs it. */
export type ProcessUser = Pick<NodeJS.Process, "getuid" | "geteuid" | "setgroups" | "setgid" | "setuid">;

/** The proxy may not run as it was started; programs print it and exit with 2. */
export class PrivilegeError extends Error {
  override readonly name = "PrivilegeError";
  readonly exitCode = 2;
}

/**
 * Becomes the configured user when the process is root's, for good, and before anything is opened. Throws PrivilegeError
 * where root has no user to become, or where the process is still root's afterwards.
 */
export function dropPrivileges(
  user: { readonly uid: number; readonly gid: number } | undefined,
  system: ProcessUser,
): void {
  const isRoot = () => system.getuid?.() === 0 || system.geteuid?.() === 0;
  if (!isRoot()) return;
  if (user === undefined)
    throw new PrivilegeError(
      "the egress proxy does not run as root: start it as another user, or set user.uid and user.gid",
    );
  system.setgroups?.([]);
  system.setgid?.(user.gid);
  system.setuid?.(user.uid);
  if (isRoot()) throw new PrivilegeError("the egress proxy is still root after it became another user");
}
