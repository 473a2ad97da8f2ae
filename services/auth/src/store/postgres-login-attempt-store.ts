import { type Pool, type SqlClient, withTransaction } from "@sandgate/postgres";
import {
  type AttemptDecision,
  decideAttempt,
  FAILURES_LIFE_MS,
  failuresOf,
  KNOWN_ADDRESS_LIFE_MS,
  type LoginAttempts,
  type LoginSubjects,
} from "../domain/login-throttle.ts";
import type { LoginAttempt, LoginAttemptStore } from "./login-attempt-store.ts";

interface AttemptRow {
  readonly subject: string;
  readonly failures: number;
  readonly failure_time: Date;
  readonly success_time: Date | null;
}

/** Counts failed logins in PostgreSQL. */
export class PostgresLoginAttemptStore implements LoginAttemptStore {
  readonly #pool: Pool;

  constructor(deps: { readonly pool: Pool }) {
    this.#pool = deps.pool;
  }

  async begin(subjects: LoginSubjects<string>, now: number, purpose?: "account" | "sign-up"): Promise<AttemptDecision> {
    return withTransaction(this.#pool, async (tx) => {
      // the account's row is there to be locked, so that attempts at the same moment come one after another
      await tx.query(
        "insert into login_attempts (subject, failures, failure_time) values ($1, 0, $2) on conflict (subject) do nothing",
        [subjects.account, new Date(now)],
      );
      await tx.query("select from login_attempts where subject = $1 for update", [subjects.account]);
      const { rows } = await tx.query<AttemptRow>(
        "select subject, failures, failure_time, success_time from login_attempts where subject = any($1)",
        [Object.values(subjects)],
      );
      const attemptsOf = (subject: string): LoginAttempts | undefined => {
        const row = rows.find((candidate) => candidate.subject === subject);
        return row && toLoginAttempts(row);
      };
      const attempts = {
        account: attemptsOf(subjects.account),
        address: attemptsOf(subjects.address),
        pair: attemptsOf(subjects.pair),
      };
      const decision = decideAttempt(attempts, now, purpose);
      if (decision.kind === "allowed") {
        const failures = failuresOf(attempts[decision.counted], now) + 1;
        await setFailures(tx, subjects[decision.counted], failures, now);
      }
      return decision;
    });
  }

  async failed({ subjects }: LoginAttempt, now: number): Promise<void> {
    await this.#pool.query(
      `insert into login_attempts (subject, failures, failure_time) values ($1, 1, $2)
       on conflict (subject) do update
          set failures = case when login_attempts.failure_time > $3 then login_attempts.failures + 1 else 1 end,
              failure_time = excluded.failure_time`,
      [subjects.address, new Date(now), new Date(now - FAILURES_LIFE_MS)],
    );
  }

  async succeeded({ subjects, counted }: LoginAttempt, now: number): Promise<void> {
    await this.#pool.query(
      `with cleared as (update login_attempts set failures = 0 where subject = $1)
       insert into login_attempts (subject, failures, failure_time, success_time) values ($2, 0, $3, $3)
       on conflict (subject) do update set failures = 0, success_time = excluded.success_time`,
      [counted === "account" ? subjects.account : "", subjects.pair, new Date(now)],
    );
  }

  async abandoned({ subjects, counted }: LoginAttempt): Promise<void> {
    await this.#pool.query("update login_attempts set failures = greatest(0, failures - 1) where subject = $1", [
      subjects[counted],
    ]);
  }

  async prune(now: number): Promise<void> {
    await this.#pool.query(
      "delete from login_attempts where failure_time < $1 and (success_time is null or success_time < $2)",
      [new Date(now - FAILURES_LIFE_MS), new Date(now - KNOWN_ADDRESS_LIFE_MS)],
    );
  }
}

async function setFailures(tx: SqlClient, subject: string, failures: number, now: number): Promise<void> {
  await tx.query("update login_attempts set failures = $2, failure_time = $3 where subject = $1", [
    subject,
    failures,
    new Date(now),
  ]);
}

function toLoginAttempts(row: AttemptRow): LoginAttempts {
  return {
    failures: row.failures,
    failedAtMs: row.failure_time.getTime(),
    succeededAtMs: row.success_time?.getTime(),
  };
}
