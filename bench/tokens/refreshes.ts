import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startEmbeddedPostgres } from "@sandgate/postgres";
import { claimsOf, enrol, registerSandbox, startAuthBench } from "../../services/auth/src/auth-bench.contract.ts";

/** So many sandboxes refresh at once. */
export const refreshesInFlight = 8;

/** As many bytes as the part of a sandbox's certificate that is signed. */
const certificateBytes = 500;

/** Refreshes on an Auth of its own, and the least that one can cost. */
export interface Refreshes {
  /** One RefreshSandboxToken of a sandbox, with its newest token. */
  readonly refresh: (sandbox: number) => Promise<void>;
  /** One insert of a row, committed, and one P-256 signature. */
  readonly bare: () => Promise<void>;
  stop(): Promise<void>;
}

/** Starts a durable PostgreSQL and Auth's module on it, and enrols the sandboxes. */
export async function startRefreshes(): Promise<Refreshes> {
  const directory = mkdtempSync(join(tmpdir(), "sandgate-bench-"));
  chmodSync(directory, 0o711); // as root, PostgreSQL has a uid of its own
  const runtimeDirectory = join(directory, "runtime");
  mkdirSync(runtimeDirectory, { mode: 0o711 });
  const dataDirectory = join(directory, "data");
  const postgres = await startEmbeddedPostgres({ dataDirectory, runtimeDirectory, lifetime: "starter" });
  const auth = await startAuthBench({ server: postgres.connection });
  const pool = auth.database.createPool("auth");
  await pool.query("create table bare (id text primary key, sandbox_id text not null, certificate bytea not null)");
  const sandboxes = await Promise.all(
    Array.from({ length: refreshesInFlight }, async () => {
      const sandbox = await registerSandbox(auth);
      return { sandbox, tokenId: (await enrol(auth, sandbox)).tokenId };
    }),
  );
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    async refresh(index) {
      const state = sandboxes[index];
      if (state === undefined) throw new RangeError("no such sandbox");
      const { sandboxId } = state.sandbox;
      const { credentials } = await state.sandbox.session(state.tokenId).refreshSandboxToken({ sandboxId });
      state.tokenId = String(claimsOf(credentials?.token ?? "").jti);
    },
    async bare() {
      const certificate = randomBytes(certificateBytes);
      const signature = sign("sha256", certificate, privateKey);
      await pool.query("insert into bare (id, sandbox_id, certificate) values ($1, $2, $3)", [
        randomBytes(32).toString("base64url"),
        "sbx-aaaaaaaaaaaaaaaaaaaa",
        Buffer.concat([certificate, signature]),
      ]);
    },
    async stop() {
      await auth.stop();
      await postgres.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
