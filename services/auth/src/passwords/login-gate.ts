import { createHash } from "node:crypto";
import type { AuditLog } from "@sandgate/audit";
import { type DenialRecorder, recordRefusal } from "@sandgate/identity";
import { type Call, ServiceError } from "@sandgate/rpc";
import { parseLoginName } from "../domain/login-name.ts";
import type { LoginSubjects } from "../domain/login-throttle.ts";
import { normalizePassword } from "../domain/password-rules.ts";
import type { UserAccount } from "../domain/user-account.ts";
import { actorOfCall } from "../handlers/actor-of-call.ts";
import type { LoginAttempt, LoginAttemptStore } from "../store/login-attempt-store.ts";
import type { UserStore } from "../store/user-store.ts";
import { hashingCallerOf } from "./hashing-caller.ts";
import { networkOf } from "./network-of.ts";
import type { PasswordHasher } from "./password-hasher.ts";

/** An account whose password was proved, and that password as it is hashed. */
export interface ProvedAccount {
  readonly account: UserAccount;
  readonly passwordHash: string;
  readonly password: string;
}

/** Lets nobody in but who knows an account's password, and nobody try for long. */
export class LoginGate {
  readonly #users: Pick<UserStore, "findAccount">;
  readonly #attempts: LoginAttemptStore;
  readonly #hasher: PasswordHasher;
  readonly #audit: Pick<AuditLog, "record">;
  readonly #recordDenial: DenialRecorder;
  readonly #clock: () => number;

  constructor(deps: {
    readonly users: Pick<UserStore, "findAccount">;
    readonly attempts: LoginAttemptStore;
    readonly hasher: PasswordHasher;
    readonly audit: Pick<AuditLog, "record">;
    readonly recordDenial: DenialRecorder;
    readonly clock: () => number;
  }) {
    this.#users = deps.users;
    this.#attempts = deps.attempts;
    this.#hasher = deps.hasher;
    this.#audit = deps.audit;
    this.#recordDenial = deps.recordDenial;
    this.#clock = deps.clock;
  }

  /**
   * The active account that this is the login name and the password of. Throws LOGIN_FAILED, whatever of it was wrong and after the
   * same time; LOGIN_DELAYED after too many failures, without looking; LOGIN_BUSY when too many wait.
   */
  async prove(call: Call, credentials: { readonly login: string; readonly password: string }): Promise<ProvedAccount> {
    const login = parseLoginName(credentials.login);
    const from = networkOf(call.connection.remoteAddress);
    const attempt = await this.#begin(call, subjectsOf(login ?? credentials.login, from));
    const password = normalizePassword(credentials.password);
    const account = login === undefined ? undefined : await this.#users.findAccount(login);
    const isRight = await this.#verify(call, attempt, account, password);
    if (account?.passwordHash === undefined || password === undefined || !isRight || !account.active) {
      await this.#attempts.failed(attempt, this.#clock());
      throw await this.#failed(call, account, from);
    }
    await this.#attempts.succeeded(attempt, this.#clock());
    return { account, passwordHash: account.passwordHash, password };
  }

  /** Counts an account that is made from an address; throws LOGIN_DELAYED after too many within an hour. */
  async countSignUp(call: Call): Promise<void> {
    const from = networkOf(call.connection.remoteAddress);
    await this.#begin(
      call,
      {
        account: `sign-up:${from}`,
        address: `address:${from}`,
        pair: `sign-up:${from}@${from}`,
      },
      "sign-up",
    );
  }

  async #begin(call: Call, subjects: LoginSubjects<string>, purpose?: "account" | "sign-up"): Promise<LoginAttempt> {
    const decision = await this.#attempts.begin(subjects, this.#clock(), purpose);
    if (decision.kind === "allowed") return { subjects, counted: decision.counted };
    const seconds = String(Math.ceil(decision.waitMs / 1000));
    throw await this.#refused(
      call,
      "",
      new ServiceError("LOGIN_DELAYED", "there were too many attempts", { retry_after_seconds: seconds }),
    );
  }

  async #verify(
    call: Call,
    attempt: LoginAttempt,
    account: UserAccount | undefined,
    password: string | undefined,
  ): Promise<boolean> {
    try {
      return await this.#hasher.verify(account?.passwordHash, password, hashingCallerOf(call));
    } catch (fault) {
      await this.#attempts.abandoned(attempt);
      throw fault;
    }
  }

  /** Of an account that there is its organization is told, by whom it may be attacked; of others no more than of any stranger. */
  async #failed(call: Call, account: UserAccount | undefined, from: string): Promise<ServiceError> {
    const error = new ServiceError("LOGIN_FAILED", "login name or password is wrong");
    if (account === undefined) return this.#refused(call, "", error);
    await this.#audit.record({
      action: "user.login_refused",
      ...actorOfCall(call),
      organizationId: account.organizationId,
      details: { user_id: account.userId, address: from, reason: account.active ? "password" : "disabled" },
    });
    return error;
  }

  #refused(call: Call, organizationId: string, error: ServiceError): Promise<ServiceError> {
    return recordRefusal(this.#recordDenial, call, { sandboxId: "", organizationId }, error);
  }
}

/** Names of what attempts are counted for. What a caller calls a login name is kept as a hash: it may be a password. */
function subjectsOf(login: string, from: string): LoginSubjects<string> {
  const account = `account:${createHash("sha256").update(login).digest("base64url")}`;
  return { account, address: `address:${from}`, pair: `${account}@${from}` };
}
