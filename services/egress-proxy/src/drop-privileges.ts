/** The proxy may not run as it was started; programs print it and exit with 2. */
export class PrivilegeError extends Error {
  override readonly name = "PrivilegeError";
  readonly exitCode = 2;
}

/**
 * Becomes the configured user when the process is root's, for good, and before anything is opened. Throws PrivilegeError
 * where root has no user to become, or where the process is still root's afterwards.
 */
export function dropPrivileges(user: { readonly uid: number; readonly gid: number } | undefined): void {
  const { getuid, setuid, setgid, setgroups } = process;
  if (getuid === undefined || setuid === undefined || setgid === undefined || setgroups === undefined) return;
  if (getuid() !== 0) return;
  if (user === undefined)
    throw new PrivilegeError(
      "the egress proxy does not run as root: start it as another user, or set user.uid and user.gid",
    );
  setgroups([]);
  setgid(user.gid);
  setuid(user.uid);
  if (process.geteuid?.() === 0 || getuid() === 0) throw new PrivilegeError("the egress proxy is still root");
}
