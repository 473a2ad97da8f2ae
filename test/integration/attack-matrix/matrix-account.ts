import { AuthService } from "@sandgate/api/auth";
import { Role } from "@sandgate/api/options";
import { type Channel, createClient } from "@sandgate/rpc";

export const matrixPassword = "a password of the matrix";

/** Of some password, by bcrypt. */
export const matrixPasswordHash = "$2b$04$8x751yOBKpNi/NVa1xNyHu8Q7PslvIVBnG0I15ZULUoBaNvjCDlJi";

/** A user with a password, whose sessions the matrix may end. */
export interface MatrixAccount {
  readonly login: string;
  /** The refresh token of a new session. */
  logIn(): Promise<string>;
}

/** Invites a user into the own organization and accepts for them. */
export async function createMatrixAccount(admin: Channel, edge: Channel): Promise<MatrixAccount> {
  const login = "account@example.test";
  const { token } = await createClient(AuthService, admin).inviteUser({ login, role: Role.VIEWER });
  const auth = createClient(AuthService, edge);
  await auth.acceptInvitation({ token, password: matrixPassword });
  return {
    login,
    logIn: async () => (await auth.login({ login, password: matrixPassword })).session?.refreshToken ?? "",
  };
}
