import { readFile } from "node:fs/promises";
import { AuthService } from "@sandgate/api/auth";
import { SandboxService } from "@sandgate/api/sandbox";
import { readEnvironment } from "@sandgate/config";
import { type Channel, createClient } from "@sandgate/rpc";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startSuite, type TestSuite, topologies, trustDomain, users } from "../../integration/suite/start-suite.ts";
import { connect } from "../../integration/suite/test-sandbox.ts";
import { type Browser, hasBrowser, missingBrowser, startBrowser } from "./browser.ts";
import type { PageCall } from "./page.ts";
import { bundlePage, type PageServer, startPageServer } from "./page-server.ts";

const isThere = await hasBrowser();

describe.each(topologies)("a page in Chromium, %s", (topology) => {
  let allowed: PageServer;
  let other: PageServer;
  let suite: TestSuite;
  let browser: Browser | undefined;
  let operator: Channel;
  let token: string;

  beforeAll(async () => {
    const script = await bundlePage();
    [allowed, other] = await Promise.all([startPageServer(script), startPageServer(script)]);
    suite = await startSuite(topology, { allowedOrigins: [allowed.origin] });
    const { certificateFile, keyFile } = suite.pki.services.gateway;
    const [cert, key] = await Promise.all([readFile(certificateFile, "utf8"), readFile(keyFile, "utf8")]);
    for (const site of [allowed, other]) site.certify({ cert, key });

    const identity = {
      certificatePem: await readFile(suite.pki.operator.certificateFile, "utf8"),
      keyPem: await readFile(suite.pki.operator.keyFile, "utf8"),
    };
    operator = connect(suite, "sandbox", suite.address("sandbox", "mtls"), identity);
    const auth = connect(suite, "auth", suite.address("auth", "mtls"), identity);
    token = (await createClient(AuthService, auth).createUserToken({})).token;
    auth.close();
    if (isThere) browser = await startBrowser(suite.pki.serviceAuthority.certificateFile);
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    operator.close();
    await suite.stop();
    await Promise.all([allowed.close(), other.close()]);
  });
  // in CI it must be there, so that its absence cannot pass for success
  beforeEach((context) => {
    if (!isThere && readEnvironment()["CI"] === undefined) context.skip(missingBrowser);
  });

  const visit = async (site: PageServer): Promise<Page> => {
    if (browser === undefined) throw new Error(missingBrowser);
    const page = await browser.context.newPage();
    await page.goto(site.origin);
    return page;
  };
  const webFront = (): string => `https://${suite.web.address}`;
  const sandboxes = async (): Promise<readonly string[]> =>
    (await createClient(SandboxService, operator).listSandboxes({})).sandboxes.map(({ name }) => name);

  describe.each(["gRPC-Web", "Connect"] as const)("by %s", (protocol) => {
    const call = (): PageCall => ({ protocol, baseUrl: webFront(), token });
    const named = (what: string): string => `${what}-by-${protocol.toLowerCase()}`;

    it("of an allowed origin calls as the user of its token", async () => {
      const page = await visit(allowed);
      expect(await ask(page, "whoAmI", call())).toBe(`spiffe://${trustDomain}/user/${users.operator}`);
    });

    it("of an allowed origin watches a sandbox to its end", async () => {
      const page = await visit(allowed);
      expect(await ask(page, "createSandbox", call(), named("watched"))).toBeUndefined();
      const phases = await ask(page, "watchToTheEnd", call(), named("watched"));
      expect(phases).toEqual(expect.arrayContaining(["DELETED"]));
      expect(phases).not.toHaveLength(1);
    });

    it("of an allowed origin reads why it was refused", async () => {
      const page = await visit(allowed);
      expect(await ask(page, "createSandbox", call(), "Not A Name")).toMatchObject({
        reason: "REQUEST_INVALID",
        metadata: { field: "name" },
      });
    });

    it("of another origin gets no call through, with a token that is good, and reads no answer", async () => {
      const page = await visit(other);
      const refusal = await ask(page, "createSandbox", call(), named("foreign"));
      expect(refusal).toMatchObject(unreadable);
      expect(await sandboxes()).not.toContain(named("foreign"));
    });

    it("is nobody with a cookie: the browser makes no call with one, and a page is told to bring a token", async () => {
      const page = await visit(allowed);
      await keepTokenInCookie();
      const anybody = { protocol, baseUrl: webFront() };
      expect(await ask(page, "whoAmI", { ...anybody, withCookies: true })).toMatchObject(unreadable);
      expect(await ask(page, "whoAmI", anybody)).toMatchObject({ reason: "CREDENTIAL_MISSING" });
    });
  });

  it("creates nothing by a form, which asks nobody's leave and carries the cookie", async () => {
    const page = await visit(allowed);
    await keepTokenInCookie();
    const sent = page.waitForResponse((response) => response.url().startsWith(webFront()));
    // as text it is {"name":"forged","x":"="}
    await page.setContent(`
      <form method="post" enctype="text/plain" action="${webFront()}/${SandboxService.typeName}/CreateSandbox">
        <input name='{"name":"forged","x":"' value='"}'>
      </form>`);
    await page.evaluate("document.forms[0].submit()");
    const answer = await sent;
    expect(await answer.request().headerValue("cookie")).toContain(token);
    expect(answer.status()).toBe(415);
    expect(await sandboxes()).not.toContain("forged");
  });

  async function keepTokenInCookie(): Promise<void> {
    const cookie = { value: token, url: webFront() };
    await browser?.context.addCookies([
      { ...cookie, name: "authorization" },
      { ...cookie, name: "token" },
    ]);
  }
});

/** What a page learns of a call that the browser does not let it make, or whose answer it may not read. */
const unreadable = { message: expect.stringContaining("Failed to fetch"), reason: undefined };

type Calls = typeof import("./page.ts");

/** Calls a function of page.ts in the page. */
function ask<Name extends keyof Calls>(
  page: Page,
  name: Name,
  ...given: Parameters<Calls[Name]>
): Promise<Awaited<ReturnType<Calls[Name]>>> {
  return page.evaluate(`sandgate.${name}(...${JSON.stringify(given)})`);
}
