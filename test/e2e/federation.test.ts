import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { decodeProtectedHeader } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RelyingParty, verifyByDiscovery } from "../integration/discovery/relying-party.ts";
import { SuiteDirectory } from "./suite-directory.fixture.ts";

const audience = "sts.example.com";

/** What a workload does to prove itself: one request on its own socket. Prints the status and the body. */
const ask = (target: string) =>
  `require("node:http").get({ socketPath: process.env.SANDGATE_IDENTITY_SOCKET, path: ${JSON.stringify(target)} },
    (r) => { let body = ""; r.on("data", (c) => (body += c)); r.on("end", () => console.log(r.statusCode, body.trim())); })
    .on("error", (error) => console.log("no way:", error.code))`;

/** Asks as often as it takes until there is a way, or none any more; then how it went, and how many milliseconds that took. */
const askUntil = (target: string, found: string) =>
  `const http = require("node:http"), since = performance.now();
   const again = () => {
     const done = (text) => text.startsWith(${JSON.stringify(found)})
       ? console.log(Math.round(performance.now() - since), text) : setTimeout(again, 5);
     http.get({ socketPath: process.env.SANDGATE_IDENTITY_SOCKET, path: ${JSON.stringify(target)} }, (r) => {
       let body = ""; r.on("data", (c) => (body += c)); r.on("end", () => done(r.statusCode + " " + body.trim()));
     }).on("error", (error) => done("no way: " + error.code));
   };
   console.log("asking"); again();`;

describe.each([
  ["all in one", "--all-in-one", "all-in-one"],
  ["in programs of their own", "--separate", "auth"],
] as const)(
  "a workload proves itself to a third party, services %s",
  { timeout: 60_000 },
  (_name, topology, issuer) => {
    let suite: SuiteDirectory;
    let party: RelyingParty;
    const policyFile = (name: string, audiences: readonly string[]): string => {
      const file = join(suite.path, `${name}.json`);
      writeFileSync(file, JSON.stringify({ rules: [], identity: { audiences } }));
      return file;
    };
    const inside = async (script: string): Promise<string> => {
      const { stdout, stderr } = await suite.sandgate(["exec", "prover", "--", "node", "-e", script]);
      expect(stderr).toBe("");
      return stdout.trim();
    };

    beforeAll(async () => {
      suite = new SuiteDirectory();
      expect(await suite.sandgate(["up", topology])).toMatchObject({ exitCode: 0 });
      const { ports, trustDomain } = JSON.parse(readFileSync(join(suite.path, "suite.json"), "utf8"));
      party = {
        issuer: `https://auth.${trustDomain}`,
        audience,
        ca: readFileSync(join(suite.path, "pki/service-ca.pem"), "utf8"),
        issuerAddress: `127.0.0.1:${ports[`${issuer}.jwks`]}`,
      };
      const created = await suite.sandgate(["create", "prover", "--policy", policyFile("granted", [audience])]);
      expect(created).toMatchObject({ exitCode: 0 });
    }, 120_000);
    afterAll(() => suite.remove());

    it("by a token that the discovery document and the key set alone make good", async () => {
      const [status = "", ...body] = (await inside(askUntil(`/token?audience=${audience}`, "200"))).split("200 ");
      expect(status).toMatch(/^asking/);
      const { token } = JSON.parse(body.join("200 "));
      const [sandbox] = await suite.json("get", "prover");
      expect(await verifyByDiscovery(token, party)).toMatchObject({
        iss: party.issuer,
        sub: sandbox?.["spiffeId"],
        aud: audience,
      });
      expect(decodeProtectedHeader(token)).toMatchObject({ typ: "JWT", alg: "ES256" });
      await expect(verifyByDiscovery(token, { ...party, audience: "elsewhere" })).rejects.toThrow('"aud"');
      const [events] = await suite.json("audit", "--sandbox", "prover", "--action", "workload_token.issued");
      expect(JSON.stringify(events)).toContain(audience);
    });

    it("to no other, and finds no credential of the supervisor on the way", async () => {
      for (const other of ["other.example.com", "sandgate", "egress-proxy", ""]) {
        const answer = await inside(ask(`/token?audience=${other}`));
        expect(answer).toContain("403");
        expect(answer).toContain("AUDIENCE_NOT_GRANTED");
        expect(answer).not.toMatch(/eyJ/);
      }
      for (const path of ["/", "/session", "/token/../session", "/egress?audience=sts.example.com"])
        expect(await inside(ask(path))).toMatch(/^404/);
      const seen = await inside(
        'console.log(require("node:fs").readdirSync("/run/identity").join(), Object.keys(process.env).filter((n) => n.startsWith("SANDGATE_")).join())',
      );
      expect(seen).toBe("identity.sock SANDGATE_IDENTITY_SOCKET");
    });

    it("no longer than policy says so: within a second of the change the socket is gone, and back with the next", async () => {
      const gone = suite.start(["exec", "prover", "--", "node", "-e", askUntil("/token", "no way: ENOENT")]);
      let said = "";
      const asking = new Promise<void>((resolve) =>
        gone.stdout?.on("data", (chunk: Buffer) => {
          said += chunk.toString("utf8");
          if (said.includes("asking")) resolve();
        }),
      );
      await asking;
      const ended = new Promise<number>((resolve) => gone.once("close", () => resolve(performance.now())));
      const set = await suite.sandgate(["policy", "set", "prover", policyFile("withdrawn", [])]);
      const storedAt = performance.now(); // at the latest: the command has ended
      expect(set).toMatchObject({ exitCode: 0 });
      expect((await ended) - storedAt).toBeLessThan(1_000);
      expect(said).toContain("no way: ENOENT");
      await suite.sandgate(["policy", "set", "prover", policyFile("granted-again", ["vault", audience])]);
      expect(await inside(askUntil("/token?audience=vault&format=jwt", "200"))).toMatch(/200 eyJ/);
    });

    it("G-21 and is told of its models, with placeholders for credentials alone", async () => {
      const file = join(suite.path, "models.json");
      const route = {
        name: "chat",
        host: "models.example.com",
        path: "/v1",
        models: ["small-*"],
        credential: "models-key",
      };
      writeFileSync(file, JSON.stringify({ rules: ["models.example.com"], inference: { routes: [route] } }));
      expect(await suite.sandgate(["policy", "set", "prover", file])).toMatchObject({ exitCode: 0 });
      const [bundle] = await suite.json("policy", "models", "prover");
      expect(bundle?.["routes"]).toEqual([
        {
          name: "chat",
          baseUrl: "https://models.example.com/v1",
          models: ["small-*"],
          credential: { name: "models-key", text: expect.stringMatching(/^sandgate-placeholder-[a-z2-7]{32}$/) },
        },
      ]);
      const { stdout } = await suite.sandgate(["policy", "models", "prover"]);
      expect(stdout).toMatch(/^NAME +BASE URL +MODELS +CREDENTIAL\nchat +https:/);
    });
  },
);
