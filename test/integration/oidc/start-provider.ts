import { type ChildProcess, spawn } from "node:child_process";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { SignJWT } from "jose";
import type { ProviderConfiguration } from "./provider-process.ts";

/** A real OpenID provider, in a process of its own. */
export interface TestProvider {
  readonly issuer: string;
  /** The provider as the section `oidc` of a configuration names it. */
  readonly settings: object;
  /** An access token of a program (client credentials); its role and organization are what `claims` says of its id. */
  programToken(clientId: string): Promise<string>;
  /** A token that the provider could have signed, and did not. */
  forge(claims: Readonly<Record<string, unknown>>, key?: KeyObject): Promise<string>;
  /** Ends it, and starts it again with a new key that signs; the old one stays in its key set, or goes. */
  rollOver(options: { readonly keepOld: boolean }): Promise<void>;
  /** Ends it; nobody listens at its address. */
  end(): Promise<void>;
  restart(): Promise<void>;
  /** Stops it in the middle of everything: it takes connections and says nothing. */
  hang(): void;
  goOn(): void;
}

const audience = "sandgate";
const roleClaim = "realm_access.roles";

/** Starts a provider. Its programs have the secret "secret of a test" and its command-line client is "sandgate-cli". */
export async function startProvider(options: {
  /** Where all its users belong; undefined: where their claim `organization_id` says. */
  readonly organizationId?: string;
  /** By subject or program: what their tokens say beside the rest. */
  readonly claims?: Readonly<Record<string, object>>;
  readonly programs?: readonly string[];
  readonly accessTokenSeconds?: number;
}): Promise<TestProvider> {
  const secret = "secret of a test";
  let keys = [newKey()];
  let port = 0;
  let child: ChildProcess | undefined;
  const clients = [
    {
      client_id: "sandgate-cli",
      application_type: "native",
      token_endpoint_auth_method: "none",
      grant_types: ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
      response_types: ["code"],
      redirect_uris: ["http://127.0.0.1/callback"],
    },
    ...(options.programs ?? []).map((client_id) => ({
      client_id,
      client_secret: secret,
      grant_types: ["client_credentials"],
      response_types: [],
      redirect_uris: [],
    })),
  ];
  const start = async (): Promise<void> => {
    const started = spawn(process.execPath, [fileURLToPath(new URL("./provider-process.ts", import.meta.url))], {
      stdio: ["pipe", "pipe", "pipe"],
    });
    const complaints = text(started.stderr);
    const configuration: ProviderConfiguration = {
      port,
      jwks: keys.map(({ kid, privateKey }) => ({
        ...privateKey.export({ format: "jwk" }),
        kid,
        use: "sig",
        alg: "RS256",
      })),
      claims: options.claims ?? {},
      clients,
      audience,
      accessTokenSeconds: options.accessTokenSeconds ?? 300,
    };
    started.stdin.end(JSON.stringify(configuration));
    const [line] = await Promise.race([
      once(started.stdout, "data"),
      complaints.then((words) => Promise.reject(new Error(`the provider did not start: ${words}`))),
    ]);
    port = Number(String(line));
    child = started;
  };
  const end = async (): Promise<void> => {
    if (child === undefined) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
    child = undefined;
  };
  await start();
  const issuer = `http://127.0.0.1:${port}`;
  return {
    issuer,
    settings: {
      name: "example",
      issuer,
      audiences: [audience],
      organization:
        options.organizationId === undefined
          ? { claim: "organization_id" }
          : { id: options.organizationId, name: options.organizationId },
      roles: { claim: roleClaim, admin: ["boss"], operator: ["dev"] },
      required_scopes: ["sandgate"],
      login: {
        client_id: "sandgate-cli",
        scopes: ["openid", "offline_access", "sandgate"],
        resource: "urn:sandgate",
      },
    },
    programToken: async (clientId) => {
      const response = await fetch(`${issuer}/token`, {
        method: "POST",
        headers: {
          authorization: `Basic ${Buffer.from(`${clientId}:${encodeURIComponent(secret)}`).toString("base64")}`,
        },
        body: new URLSearchParams({ grant_type: "client_credentials", scope: "sandgate" }),
      });
      const answer = (await response.json()) as { access_token?: string };
      if (answer.access_token === undefined) throw new Error(`no token: ${JSON.stringify(answer)}`);
      return answer.access_token;
    },
    forge: async (claims, key) => {
      const [current] = keys;
      if (current === undefined) throw new Error("no key");
      const now = Math.floor(Date.now() / 1000);
      return new SignJWT({ iss: issuer, aud: audience, scope: "sandgate", iat: now, exp: now + 300, ...claims })
        .setProtectedHeader({ alg: "RS256", kid: current.kid, typ: "at+jwt" })
        .sign(key ?? current.privateKey);
    },
    rollOver: async ({ keepOld }) => {
      keys = [newKey(), ...(keepOld ? keys : [])];
      await end();
      await start();
    },
    end,
    restart: start,
    hang: () => void child?.kill("SIGSTOP"),
    goOn: () => void child?.kill("SIGCONT"),
  };
}

function newKey(): { readonly kid: string; readonly privateKey: KeyObject } {
  return { kid: crypto.randomUUID(), privateKey: generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey };
}
