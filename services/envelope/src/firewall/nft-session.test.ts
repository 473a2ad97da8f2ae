import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { FirewallError } from "./firewall-error.ts";
import { NftSession } from "./nft-session.ts";
import { runFirewallProgram } from "./run-firewall-program.ts";

let directory: string;
const sessions = new Set<NftSession>();
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "nft-session-"));
});
afterEach(async () => {
  for (const session of sessions) await session.stop();
  sessions.clear();
});
afterAll(() => rmSync(directory, { recursive: true }));

/** A session with a program that writes down its process and then does as the script says. */
function open(script: string, timeoutMs?: number) {
  const file = join(directory, crypto.randomUUID());
  writeFileSync(file, `#!/bin/sh\necho $$ >> ${file}.pids\n${script}\n`, { mode: 0o755 });
  const session = new NftSession({ file, ...(timeoutMs !== undefined && { timeoutMs }) });
  sessions.add(session);
  return { session, pids: () => readFileSync(`${file}.pids`, "utf8").trim().split("\n").map(Number) };
}

const proof = (mark: number) => ({ set: "inet t commits", mark });
const answer = (mark: string) =>
  `echo 'table inet t { set commits { elements = { ${mark} timeout 60s expires 60s } } }'`;
const isAlive = (pid: number | undefined) => {
  try {
    return process.kill(pid ?? 0, 0);
  } catch {
    return false;
  }
};

it("believes what it finds in the kernel, and goes on with the same process", async () => {
  const { session, pids } = open(
    `read a; read b; ${answer("0x0000001f")}; read a; read b; ${answer("0x00000020")}; cat`,
  );
  await session.commit(["add element a", "add element b"], proof(31));
  await session.commit(["add element a"], proof(32));
  expect(pids()).toHaveLength(1);
});

it.each([
  ["ends", "read a; exit 0", "has ended"],
  ["cannot be started", "exit 1", "has ended"],
  ["says an error", "read a; echo 'Error: No such file or directory' >&2; cat", "nft refused: Error: No such file"],
  ["may not", "read a; echo 'Error: Operation not permitted' >&2; cat", "give it the capability CAP_NET_ADMIN"],
  ["says nothing", "cat > /dev/null", "did not answer in time"],
  ["repeats what it was told, no more", "cat", "did not answer in time"],
  ["finds another mark", `read a; ${answer("0x000000ff")}; cat > /dev/null`, "did not answer in time"],
  ["finds a mark that begins like it", `read a; ${answer("0x00000f0")}; cat > /dev/null`, "did not answer in time"],
])("does not believe one that %s, and leaves it dead", async (_, script, message) => {
  const { session, pids } = open(script, 500);
  const failure = await session.commit(["add element a"], proof(15)).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(FirewallError);
  expect(String(failure)).toContain(message);
  expect(isAlive(pids()[0])).toBe(false);
});

it("starts another process after one that was killed", async () => {
  const { session, pids } = open(`read a; read b; ${answer("0x1")}; cat`);
  await session.commit([], proof(1));
  const [pid] = pids();
  process.kill(pid ?? 0, "SIGKILL");
  await expect.poll(() => isAlive(pid)).toBe(false);
  await session.commit([], proof(1)).catch(() => session.commit([], proof(1))); // its death may not be known yet
  expect(pids()).toHaveLength(2);
});

it("says that nft is missing", async () => {
  const session = new NftSession({ file: "/nowhere/nft" });
  await expect(session.commit([], proof(1))).rejects.toThrow(FirewallError);
});

it("E-48: ends an nft that takes too long", async () => {
  const file = join(directory, "slow");
  writeFileSync(file, "#!/bin/sh\nexec sleep 60\n", { mode: 0o755 });
  const nft = { file, name: "nft", package: "nftables", setting: "firewall.nft_file", timeoutMs: 100 };
  await expect(runFirewallProgram(nft, [])).rejects.toThrow("nft was ended by SIGKILL");
});
