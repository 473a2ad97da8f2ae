/** A browser as far as a login needs one: follows redirects, keeps cookies, sends the forms of the provider's own pages. */
export class Browser {
  readonly #login: string;
  readonly #cookies = new Map<string, string>();

  constructor(options: { /** Who sits before it. */ readonly login: string }) {
    this.#login = options.login;
  }

  /** Opens a page, and logs in and agrees wherever a form asks for it. Answers the last page's address and text. */
  async open(
    address: string,
    /** What is typed into forms with these fields. */
    typed: Readonly<Record<string, string>> = {},
  ): Promise<{ readonly url: string; readonly status: number; readonly text: string }> {
    let url = address;
    let body: URLSearchParams | undefined;
    for (let step = 0; step < 30; step += 1) {
      const response = await fetch(url, {
        redirect: "manual",
        method: body === undefined ? "GET" : "POST",
        headers: { cookie: [...this.#cookies].map(([name, value]) => `${name}=${value}`).join("; ") },
        ...(body !== undefined && { body }),
      });
      for (const cookie of response.headers.getSetCookie()) this.#keep(cookie);
      const location = response.headers.get("location");
      const text = await response.text();
      body = undefined;
      if (location !== null) {
        url = new URL(location, url).href;
        continue;
      }
      const action = /<form[^>]*action="([^"]+)"/.exec(text)?.[1];
      if (action === undefined) return { url, status: response.status, text };
      url = new URL(action.replaceAll("&amp;", "&"), url).href;
      body = this.#fill(text, typed);
    }
    throw new Error("the pages lead nowhere");
  }

  #fill(page: string, typed: Readonly<Record<string, string>>): URLSearchParams {
    const fields = new URLSearchParams();
    for (const [tag] of page.matchAll(/<input[^>]*>/g)) {
      const name = /name="([^"]*)"/.exec(tag)?.[1];
      if (name !== undefined) fields.set(name, /value="([^"]*)"/.exec(tag)?.[1] ?? "");
    }
    if (fields.has("login")) fields.set("login", this.#login);
    if (fields.has("password")) fields.set("password", "any");
    for (const [name, value] of Object.entries(typed)) if (fields.has(name)) fields.set(name, value);
    return fields;
  }

  #keep(cookie: string): void {
    const [pair = ""] = cookie.split(";");
    const at = pair.indexOf("=");
    const [name, value] = [pair.slice(0, at), pair.slice(at + 1)];
    if (value === "" || /expires=Thu, 01 Jan 1970/i.test(cookie)) this.#cookies.delete(name);
    else this.#cookies.set(name, value);
  }
}
