import type { IncomingMessage } from "node:http";
import { posix } from "node:path";
import { type ClientAddress, readClientAddress } from "../domain/client-address.ts";
import type { Refusal } from "../domain/refusal.ts";
import { findToken } from "../tokens/find-token.ts";
import { type AccessClaims, type TokenRules, verifyAccessToken } from "../tokens/verify-access-token.ts";
import { answerHandshake } from "./handshake.ts";

/** The one path. */
const accessPath = "/v0/envelope/access";

/** Which requests count. */
export interface AccessRules {
  readonly tokens: TokenRules;
  /** Whether a token may stand in the URL. */
  readonly query: boolean;
  /** Origins of web pages that may ask; "any" in compatible mode (E-10, EW-17). */
  readonly origins: ReadonlySet<string> | "any";
}

export type AccessJudgement =
  | {
      readonly outcome: "good";
      readonly address: ClientAddress;
      readonly claims: AccessClaims;
      readonly handshake: string;
    }
  | { readonly outcome: "moved"; readonly location: string }
  | { readonly outcome: "refused"; readonly refusal: Refusal };

/**
 * Judges a request, spends nothing. The order is M-Lab's: the token before the method (E-04, E-05), the handshake last; there is nothing that
 * a wrong handshake leaves behind (E-06).
 */
export async function judgeRequest(
  request: IncomingMessage,
  rules: AccessRules,
  nowMs: number,
): Promise<AccessJudgement> {
  const { path, search } = splitTarget(request.url ?? "");
  if (path !== accessPath) {
    if (rules.tokens.compatible && posix.normalize(path) === accessPath)
      return { outcome: "moved", location: `${accessPath}${search}` };
    return refuse("path");
  }
  const { origin } = request.headers;
  if (origin !== undefined && rules.origins !== "any" && !rules.origins.has(origin)) return refuse("origin");
  const address = readClientAddress(request.socket.remoteAddress);
  if (address === undefined) return refuse("peer_address");
  const found = findToken({ headers: request.headers, query: new URLSearchParams(search) }, rules);
  if ("refusal" in found) return refuse(found.refusal);
  const verified = await verifyAccessToken(found.token, rules.tokens, { address, nowMs });
  if (verified.outcome === "refused") return verified;
  if (request.method !== "GET") return refuse("method");
  const handshake = answerHandshake(request.headers);
  return handshake === undefined
    ? refuse("handshake")
    : { outcome: "good", address, claims: verified.claims, handshake };
}

function splitTarget(target: string): { readonly path: string; readonly search: string } {
  const at = target.indexOf("?");
  return at < 0 ? { path: target, search: "" } : { path: target.slice(0, at), search: target.slice(at) };
}

function refuse(refusal: Refusal): AccessJudgement {
  return { outcome: "refused", refusal };
}
