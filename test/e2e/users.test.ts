import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SuiteDirectory } from "./suite-directory.fixture.ts";

const password = "correct horse battery";
let suite: SuiteDirectory;
const homes: string[] = [];

/** Somebody on another machine: with a home of their own and what `sandgate client-file` printed, and no certificate. */
class User {
  readonly home: string;

  constructor(clientFile: string) {
    this.home = mkdtempSync("/tmp/sgu-");
    homes.push(this.home);
    writeFileSync(join(this.home, "client.json"), clientFile);
  }

  sandgate(words: readonly string[], ...lines: readonly string[]) {
    const own = { HOME: this.home, SANDGATE_CLIENT_FILE: join(this.home, "client.json") };
    return suite.sandgate(words, lines.map((line) => `${line}\n`).join(""), own);
  }
}

let clientFile: string;
beforeAll(async () => {
  suite = new SuiteDirectory();
  expect(await suite.sandgate(["up"])).toMatchObject({ exitCode: 0 });
  clientFile = (await suite.sandgate(["client-file"])).stdout;
}, 120_000);
afterAll(async () => {
  await suite.remove();
  for (const home of homes) rmSync(home, { recursive: true, force: true });
});

describe("users of the command line", { timeout: 120_000 }, () => {
  it("are invited, log in, own what they make, are not seen by others, and log out", async () => {
    const [ada, bob] = [new User(clientFile), new User(clientFile)];
    expect(clientFile).not.toContain("keyFile");
    expect(await ada.sandgate(["ls"])).toMatchObject({
      exitCode: 4,
      stderr: expect.stringContaining("nobody is logged in"),
    });

    const invitation = await suite.sandgate(["user", "invite", "ada@example.test", "--role", "operator"]);
    const token = invitation.stdout.trim();
    expect(token).toMatch(/^sgi_[0-9A-Za-z]{49}$/);
    expect(await ada.sandgate(["user", "accept-invitation", "--name", "Ada"], token, "short")).toMatchObject({
      exitCode: 2,
    });
    expect(await ada.sandgate(["user", "accept-invitation", "--name", "Ada"], token, password)).toMatchObject({
      exitCode: 0,
    });
    expect(await ada.sandgate(["user", "accept-invitation"], token, password)).toMatchObject({ exitCode: 3 });
    const logins = statSync(join(ada.home, ".config/sandgate/logins.json"));
    expect(logins.mode & 0o777).toBe(0o600);

    expect(await ada.sandgate(["login", "ada@example.test"], "a wrong password")).toMatchObject({
      exitCode: 4,
      stdout: "",
    });
    expect(await ada.sandgate(["login", "ada@example.test"], password)).toMatchObject({ exitCode: 0 });
    const who = JSON.parse((await ada.sandgate(["whoami", "--json"])).stdout);
    expect(who).toMatchObject({ authenticator: "user-session", user: { name: "Ada", role: "ROLE_OPERATOR" } });
    const made = await ada.sandgate(["create", "hers", "--json"]);
    expect(JSON.parse(made.stdout)).toMatchObject({ name: "hers", phase: "PHASE_READY", ownerUserId: who.user.userId });

    const second = await suite.sandgate(["organization", "create", "Elsewhere", "--admin", "bob@example.test"]);
    expect(await bob.sandgate(["user", "accept-invitation"], second.stdout.trim(), password)).toMatchObject({
      exitCode: 0,
    });
    expect(await bob.sandgate(["get", "hers"])).toMatchObject({ exitCode: 3 });
    expect(JSON.parse((await bob.sandgate(["ls", "--json"])).stdout)).toEqual({ sandboxes: [] });
    expect(JSON.parse((await bob.sandgate(["user", "ls", "--json"])).stdout).users).toHaveLength(1);

    expect(await ada.sandgate(["rm", "hers"])).toMatchObject({ exitCode: 0 });
    const accessToken = (await ada.sandgate(["token"])).stdout.trim();
    expect(accessToken.split(".")).toHaveLength(3);
    expect(await ada.sandgate(["logout"])).toMatchObject({ exitCode: 0 });
    expect(await ada.sandgate(["ls"])).toMatchObject({ exitCode: 4 });
  });

  it("keep their login when many commands find it old at the same moment", async () => {
    const eve = new User(clientFile);
    const token = (await suite.sandgate(["user", "invite", "eve@example.test"])).stdout.trim();
    await eve.sandgate(["user", "accept-invitation"], token, password);
    const file = join(eve.home, ".config/sandgate/logins.json");
    const before = JSON.parse(readFileSync(file, "utf8"));
    const [key = ""] = Object.keys(before.logins);
    const aged = { ...before.logins[key], accessExpiresAtMs: 0 };
    writeFileSync(file, JSON.stringify({ version: 1, logins: { [key]: aged } }), { mode: 0o600 });

    const outcomes = await Promise.all([1, 2, 3, 4].map(() => eve.sandgate(["whoami"])));
    expect(outcomes.map(({ exitCode }) => exitCode)).toEqual([0, 0, 0, 0]);
    const after = JSON.parse(readFileSync(file, "utf8")).logins[key];
    expect(after.refreshToken).not.toBe(aged.refreshToken);
    expect(after.pendingRequestId).toBeUndefined();
  });

  it("are disabled by an administrator, at once", async () => {
    const mallory = new User(clientFile);
    const token = (await suite.sandgate(["user", "invite", "mallory@example.test"])).stdout.trim();
    await mallory.sandgate(["user", "accept-invitation"], token, password);
    expect(await suite.sandgate(["user", "disable", "mallory@example.test"])).toMatchObject({ exitCode: 0 });
    expect(await mallory.sandgate(["ls"])).toMatchObject({ exitCode: 4 });
    expect(await mallory.sandgate(["login", "mallory@example.test"], password)).toMatchObject({ exitCode: 4 });
  });

  it("give programs keys, and take them back", async () => {
    const [owner, program] = [new User(clientFile), new User(clientFile)];
    const token = (await suite.sandgate(["user", "invite", "owner@example.test", "--role", "operator"])).stdout.trim();
    await owner.sandgate(["user", "accept-invitation"], token, password);
    const created = JSON.parse((await owner.sandgate(["api-key", "create", "ci", "--expires", "1d", "--json"])).stdout);
    expect(await program.sandgate(["login", "--api-key"], created.secret)).toMatchObject({ exitCode: 0 });
    expect(await program.sandgate(["ls"])).toMatchObject({ exitCode: 0 });
    expect(await program.sandgate(["create", "x"])).toMatchObject({ exitCode: 4 });
    expect(await owner.sandgate(["api-key", "revoke", created.apiKey.apiKeyId])).toMatchObject({ exitCode: 0 });
    expect(await program.sandgate(["ls"])).toMatchObject({ exitCode: 4 });
  });

  it("who run the suite, too, use its certificate for what it alone opens, and their login for everything else", async () => {
    const home = mkdtempSync("/tmp/sgu-");
    homes.push(home);
    const here = (words: readonly string[], ...lines: readonly string[]) =>
      suite.sandgate(words, lines.map((line) => `${line}\n`).join(""), { HOME: home, XDG_CONFIG_HOME: home });
    const token = (await suite.sandgate(["user", "invite", "root@example.test", "--role", "viewer"])).stdout.trim();
    expect(await here(["user", "accept-invitation"], token, password)).toMatchObject({ exitCode: 0 });
    expect(JSON.parse((await here(["whoami", "--json"])).stdout)).toMatchObject({ authenticator: "user-session" });
    expect(await here(["keys", "ls"])).toMatchObject({ exitCode: 0, stderr: "" });
    expect(await here(["create", "x"])).toMatchObject({ exitCode: 4 });
  });

  it("are asked for a password at a terminal, which does not show it", async () => {
    const line = "sandgate login nobody@example.test";
    const { stdout, exitCode } = await suite.inTerminal(line, { after: "Password: ", text: `${password}\r` });
    expect(exitCode).toBe(4);
    expect(stdout).toContain("login name or password is wrong");
    expect(stdout).not.toContain("horse");
  });
});
