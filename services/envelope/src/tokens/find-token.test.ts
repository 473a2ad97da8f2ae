import { expect, it } from "vitest";
import { findToken } from "./find-token.ts";

const subprotocols = (names: string) => ({ "sec-websocket-protocol": names });

it.each([
  ["EW-11: Authorization", { authorization: "Bearer a.b.c" }, "", false, { token: "a.b.c" }],
  [
    "EW-11: a subprotocol",
    subprotocols("net.measurementlab.envelope, sandgate.bearer.a.b.c"),
    "",
    false,
    { token: "a.b.c" },
  ],
  ["E-11: the URL, where it may; the first counts", {}, "access_token=a.b.c&access_token=d", true, { token: "a.b.c" }],
  [
    "EW-11: the URL, where it may not",
    { authorization: "Bearer a.b.c" },
    "access_token=d",
    false,
    { refusal: "token_in_query" },
  ],
  ["none", {}, "", true, { refusal: "token_missing" }],
  ["an empty one", { authorization: "Bearer " }, "access_token=", true, { refusal: "token_missing" }],
  ["another scheme", { authorization: "Basic a" }, "", false, { refusal: "token_missing" }],
  ["two", { authorization: "Bearer a", ...subprotocols("sandgate.bearer.b") }, "", false, { refusal: "token_several" }],
])("%s", (_, headers, query, allowed, expected) => {
  expect(findToken({ headers, query: new URLSearchParams(query) }, { query: allowed })).toEqual(expected);
});
