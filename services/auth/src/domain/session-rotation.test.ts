import { expect, it } from "vitest";
import { decideRotation, type PresentedRefreshToken } from "./session-rotation.ts";

const now = Date.parse("2026-03-01T12:00:00Z");
const session = { generation: 5, expiresAtMs: now + 1, isEnded: false, isUserActive: true };
const current: PresentedRefreshToken = { isCurrent: true, generation: 5, requestHash: undefined, session };
const replaced: PresentedRefreshToken = { isCurrent: false, generation: 4, requestHash: "one", session };

it.each([
  ["the current token", current, "one", "rotate"],
  ["the last token, in the same request", replaced, "one", "repeat"],
  ["the last token, in another request", replaced, "two", "reused"],
  [
    "a token that a repetition replaced, unused",
    { ...replaced, generation: 5, requestHash: undefined },
    "one",
    "reused",
  ],
  ["the last but one, in its own request", { ...replaced, generation: 3 }, "one", "reused"],
  [
    "the current token of a session that has ended",
    { ...current, session: { ...session, isEnded: true } },
    "one",
    "ended",
  ],
  ["an old token of a session that has ended", { ...replaced, session: { ...session, isEnded: true } }, "two", "ended"],
  ["a token of a user who is not active", { ...current, session: { ...session, isUserActive: false } }, "one", "ended"],
  [
    "a token of a session that has expired",
    { ...current, session: { ...session, expiresAtMs: now } },
    "one",
    "expired",
  ],
] as const)("decides on %s", (_, token, requestHash, decision) => {
  expect(decideRotation(token, requestHash, now)).toBe(decision);
});
