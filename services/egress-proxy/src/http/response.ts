import { Refusal } from "../decision/refusal.ts";
import { type BodyFraming, readFraming } from "./body-framing.ts";
import { HeaderFields } from "./header-fields.ts";

/** An origin's answer, read as strictly as a request. */
export interface OriginResponse {
  readonly status: number;
  readonly phrase: string;
  readonly fields: HeaderFields;
  readonly framing: BodyFraming;
}

/** Reads the lines of an answer's head. `method` is the request's: answers to HEAD have no body. Throws Refusal. */
export function parseResponse(lines: readonly string[], method: string): OriginResponse {
  const [statusLine = "", ...fieldLines] = lines;
  const [, minor, code, phrase = ""] =
    /^HTTP\/1\.([01]) ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?$/.exec(statusLine) ?? [];
  if (code === undefined) throw Refusal.malformed("the status line is not one of HTTP/1.1");
  const status = Number(code);
  const fields = HeaderFields.parse(fieldLines);
  const framing = readFraming(fields, minor === "1" ? "1.1" : "1.0");
  const bodiless = method === "HEAD" || status < 200 || status === 204 || status === 304;
  return { status, phrase, fields, framing: bodiless ? { kind: "none" } : (framing ?? { kind: "until-close" }) };
}
