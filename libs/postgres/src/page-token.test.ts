import { expect, test } from "vitest";
import { decodePageToken, encodePageToken, PageTokenError } from "./page-token.ts";

const parse = (position: unknown): string => {
  if (typeof position !== "string") throw new TypeError("not a position");
  return position;
};
const encode = (text: string) => Buffer.from(text).toString("base64url");

test("a token gives back its position", () => {
  expect(decodePageToken(encodePageToken("sbx-7", { state: "READY" }), parse, { state: "READY" })).toBe("sbx-7");
});

test("the empty token asks for the first page", () => {
  expect(decodePageToken("", parse)).toBeUndefined();
});

test("the order of a filter's fields does not matter", () => {
  expect(decodePageToken(encodePageToken("x", { a: "1", b: "2" }), parse, { b: "2", a: "1" })).toBe("x");
});

test.each([
  ["another alphabet", "a+b/"],
  ["no JSON", encode("hello")],
  ["JSON that is no object", encode("7")],
  ["null", encode("null")],
  ["no position", encode('{"f":"x"}')],
  ["a position of another type", encodePageToken(7)],
  ["another filter", encodePageToken("x", { state: "READY" })],
  ["a long one", "A".repeat(2_049)],
])("a token that is %s is refused by name", (_, token) => {
  expect(() => decodePageToken(token, parse)).toThrow(PageTokenError);
});
