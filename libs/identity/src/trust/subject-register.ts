import type { SandboxSubject, UserSubject } from "@sandgate/api/auth";

/** Who is who, as Auth's register says: read through a cache that the trust feed keeps true. */
export interface SubjectRegister {
  /** The sandbox, alive or retired; undefined if there never was one. */
  findSandbox(sandboxId: string): Promise<SandboxSubject | undefined>;
  /** The living sandbox of that name; undefined if there is none. */
  findSandboxByName(organizationId: string, name: string): Promise<SandboxSubject | undefined>;
  findUser(userId: string): Promise<UserSubject | undefined>;
}
