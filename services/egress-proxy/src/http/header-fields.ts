import { Refusal } from "../decision/refusal.ts";

/** One field line of a head. */
export interface HeaderField {
  /** As it was sent. */
  readonly name: string;
  /** In lower case. */
  readonly key: string;
  /** Without the white space around it; one character for each byte. */
  readonly value: string;
}

/** The fields of a head, in order. */
export class HeaderFields {
  readonly all: readonly HeaderField[];

  private constructor(all: readonly HeaderField[]) {
    this.all = all;
  }

  /** Reads field lines. Throws Refusal where a name is no token, or is followed by space. */
  static parse(lines: readonly string[]): HeaderFields {
    return new HeaderFields(
      lines.map((line) => {
        const colon = line.indexOf(":");
        const name = colon < 0 ? "" : line.slice(0, colon);
        if (!token.test(name)) throw Refusal.malformed("a field name is not a token");
        return { name, key: name.toLowerCase(), value: trim(line.slice(colon + 1)) };
      }),
    );
  }

  /** Every value sent under a lower-case name. */
  values(key: string): string[] {
    return this.all.filter((field) => field.key === key).map(({ value }) => value);
  }

  /** The value sent under a name; undefined where there is none. Throws Refusal where there are two. */
  single(key: string): string | undefined {
    const values = this.values(key);
    if (values.length > 1) throw Refusal.malformed(`${key} is sent twice`);
    return values[0];
  }

  /** The members of a comma-separated field, in lower case. Throws Refusal where one is no token. */
  tokens(key: string): string[] {
    const members = this.values(key).flatMap((value) => value.split(","));
    return members.map(trim).flatMap((member) => {
      if (member === "") return [];
      if (!token.test(member)) throw Refusal.malformed(`${key} has a member that is not a token`);
      return [member.toLowerCase()];
    });
  }

  /** The fields that may go on to the next hop: without those of this hop, those `connection` names, and our own. */
  endToEnd(): readonly HeaderField[] {
    const nominated = this.tokens("connection");
    return this.all.filter(
      ({ key }) => !hopByHop.has(key) && !nominated.includes(key) && !ownPrefixes.some((own) => key.startsWith(own)),
    );
  }
}

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** Fields that belong to one hop. Framing is among them: each hop writes its own. */
const hopByHop: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "http2-settings",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authentication-info",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Names that only this suite writes: from a sandbox or an origin they are forgeries. */
const ownPrefixes = ["x-jwt-", "x-deny-", "x-container-", "x-sandgate-", "x-proxy-error"] as const;

/** Without the spaces and tabs around it; `trim()` would take more. */
function trim(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && (text[start] === " " || text[start] === "\t")) start++;
  while (end > start && (text[end - 1] === " " || text[end - 1] === "\t")) end--;
  return text.slice(start, end);
}
