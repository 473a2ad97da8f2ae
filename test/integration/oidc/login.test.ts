import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { organizations, startSuite, type TestSuite, trustDomain } from "../suite/start-suite.ts";
import { Browser } from "./browser.ts";
import { startProvider, type TestProvider } from "./start-provider.ts";

const program = fileURLToPath(new URL("../../../services/cli/src/main.ts", import.meta.url));

describe("G-04: sandgate login at a real OpenID provider", () => {
  const home = mkdtempSync(join(tmpdir(), "sgl-"));
  const clientFile = join(home, "client.json");
  const logins = join(home, "sandgate/logins.json");
  const started: ChildProcess[] = [];
  let provider: TestProvider;
  let suite: TestSuite;

  beforeAll(async () => {
    provider = await startProvider({
      organizationId: organizations.own,
      claims: { ada: { realm_access: { roles: ["dev"] } } },
      accessTokenSeconds: 20,
    });
    suite = await startSuite("all in one", { oidc: [provider.settings] });
    const addresses = (listener: "edge" | "mtls") =>
      Object.fromEntries((["auth", "sandbox", "policy"] as const).map((name) => [name, suite.address(name, listener)]));
    writeFileSync(
      clientFile,
      JSON.stringify({
        version: 1,
        trustDomain,
        addresses: addresses("mtls"),
        edgeAddresses: addresses("edge"),
        serviceCa: suite.serviceCa,
      }),
    );
  });
  afterAll(async () => {
    for (const child of started) child.kill("SIGKILL");
    await suite.stop();
    await provider.end();
    rmSync(home, { recursive: true });
  });

  /** Starts a command as a user who has nothing but the client file. */
  const run = (...args: string[]) => {
    const child = spawn(process.execPath, [program, ...args, "--json", "--client-file", clientFile], {
      env: { HOME: home, XDG_CONFIG_HOME: home, PATH: "/usr/bin:/bin" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    started.push(child);
    const lines: string[] = [];
    const said = createInterface({ input: child.stderr });
    said.on("line", (line) => lines.push(line));
    const output = text(child.stdout);
    const ended = once(child, "exit");
    return {
      /** The rest of the first line on standard error with these words. */
      told: async (words: string): Promise<string> => {
        // a command that has ended says no more
        const over = ended
          .then(() => output)
          .then((written) => Promise.reject(new Error(`it ended: ${written} ${lines}`)));
        await Promise.race([expect.poll(() => lines.join("\n"), { timeout: 15_000 }).toContain(words), over]);
        return (lines.find((line) => line.startsWith(words)) ?? "").slice(words.length);
      },
      end: async (): Promise<{ code: unknown; result: unknown; said: string }> => {
        const [code] = await ended;
        const written = await output;
        return { code, result: written === "" ? undefined : JSON.parse(written), said: lines.join("\n") };
      },
    };
  };
  const kept = () => Object.values((JSON.parse(readFileSync(logins, "utf8")) as { logins: object }).logins)[0];

  it("authorization code with PKCE: only the answer with the state counts, and the login is this user's alone", async () => {
    const command = run("login", "--oidc");
    const url = new URL(await command.told("open in a browser: "));
    expect(url.searchParams.get("code_challenge_method")).toBe("S256");
    expect(url.searchParams.get("nonce")).toMatch(/.{32}/);
    const redirect = url.searchParams.get("redirect_uri") ?? "";
    expect(redirect).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/callback$/);
    expect((await fetch(`${redirect}?code=stolen&state=guessed`)).status).toBe(404);
    expect((await fetch(redirect)).status).toBe(404);

    const page = await new Browser({ login: "ada" }).open(url.href);
    expect(page).toMatchObject({ status: 200, text: "You are logged in; this page can be closed.\n" });
    const { code, result } = await command.end();
    expect({ code, result }).toMatchObject({ code: 0, result: { kind: "oidc", login: "ada", role: "operator" } });
    expect(statSync(logins).mode & 0o777).toBe(0o600);
    expect(kept()).toMatchObject({ kind: "oidc", refreshToken: expect.any(String) });
  });

  it("the token is renewed at the provider, unseen, and every command is this user's", async () => {
    const before = kept() as { accessToken: string };
    // a life of 20 s is below the half minute that a command wants to have left
    const { code, result } = await run("whoami").end();
    expect({ code, result }).toMatchObject({ code: 0, result: { authenticator: "oidc-user", user: { name: "ada" } } });
    expect((kept() as { accessToken: string }).accessToken).not.toBe(before.accessToken);
  });

  it("logout ends the refresh token at the provider and forgets it", async () => {
    const { refreshToken } = kept() as { refreshToken: string };
    expect((await run("logout").end()).code).toBe(0);
    expect(kept()).toBeUndefined();
    const answer = await fetch(`${provider.issuer}/token`, {
      method: "POST",
      body: new URLSearchParams({
        grant_type: "refresh_token",
        refresh_token: refreshToken,
        client_id: "sandgate-cli",
      }),
    });
    expect(await answer.json()).toMatchObject({ error: "invalid_grant" });
  });

  it("device code: a browser anywhere, and a user without a role is a viewer", async () => {
    const command = run("login", "--device");
    const url = await command.told("open in a browser: ");
    const userCode = await command.told("and enter the code: ");
    await new Browser({ login: "grace" }).open(url, { user_code: userCode });
    const { code, result } = await command.end();
    expect({ code, result }).toMatchObject({ code: 0, result: { kind: "oidc", login: "grace", role: "viewer" } });
  });

  it("says so when the user refuses, when there is no such provider, and when it is away", async () => {
    const command = run("login", "--oidc");
    const url = new URL(await command.told("open in a browser: "));
    const refused = new URL(url.searchParams.get("redirect_uri") ?? "");
    refused.search = new URLSearchParams({
      error: "access_denied",
      state: url.searchParams.get("state") ?? "",
      iss: provider.issuer,
    }).toString();
    expect((await fetch(refused)).status).toBe(400);
    expect(await command.end()).toMatchObject({
      code: 4,
      result: { error: { message: "the OpenID provider refused the login: access_denied" } },
    });

    const other = run("login", "--oidc");
    const otherUrl = new URL(await other.told("open in a browser: "));
    const mixedUp = new URL(otherUrl.searchParams.get("redirect_uri") ?? "");
    mixedUp.search = new URLSearchParams({
      code: "of another issuer",
      state: otherUrl.searchParams.get("state") ?? "",
      iss: "https://other.test",
    }).toString();
    expect((await fetch(mixedUp)).status).toBe(400);
    expect((await other.end()).code).not.toBe(0);

    expect((await run("login", "--oidc", "nowhere").end()).code).toBe(2);
    await provider.end();
    expect((await run("login", "--oidc").end()).code).toBe(5);
  });
});
