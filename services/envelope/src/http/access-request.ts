import type { IncomingMessage } from "node:http";
import { posix } from "node:path";
import { type ClientAddress, readClientAddress } from "../domain/client-address.ts";
import type { Refusal } from "../domain/refusal.ts";
import { findToken } from "../tokens/find-token.ts";
import { type AccessLimits, judgeToken } from "../tokens/judge-token.ts";
import {
  type AccessGrant,
  type TokenOutcome,
  type TokenRules,
  verifyAccessToken,
} from "../tokens/verify-access-token.ts";
import { answerHandshake } from "./handshake.ts";
import { readForm } from "./read-form.ts";

const accessPath = "/v0/envelope/access";
/** Of M-Lab's first release: tokens are for an address, and a POST is held like a WebSocket. */
const allowPath = "/v0/allow";

/** The paths that are served; each is a label of a metric. */
export type ServedPath = typeof accessPath | typeof allowPath;

/** Which requests count. */
export interface AccessRules extends AccessLimits {
  readonly tokens: TokenRules;
  /** False: who brings no token is let in too (E-28). */
  readonly tokenRequired: boolean;
  /** Whether a token may stand in the URL. */
  readonly query: boolean;
  /** Origins of web pages that may ask; "any" in compatible mode (E-10, EW-17). */
  readonly origins: ReadonlySet<string> | "any";
  /** Whether /v0/allow is served. */
  readonly allowPath: boolean;
  /** Whether a handshake's key must be of 16 bytes (E-14). */
  readonly strictKey: boolean;
}

/** How a good request is held: as a WebSocket, after this answer; or as a response without an end. */
export type Holding = { readonly kind: "websocket"; readonly handshake: string } | { readonly kind: "response" };

export type AccessJudgement =
  | ({ readonly outcome: "good"; readonly path: ServedPath; readonly holding: Holding } & AccessGrant)
  | { readonly outcome: "moved"; readonly location: string }
  | {
      readonly outcome: "refused";
      readonly refusal: Refusal;
      /** Undefined where it is not served. */
      readonly path?: ServedPath;
      /** Whose good token it brought, "" for none; undefined where it has not come so far. */
      readonly issuer?: string;
      readonly retryAfterMs?: number;
    };

/**
 * Judges a request, spends nothing. The order is M-Lab's: the token before the method (E-04, E-05), the handshake last; there is nothing that
 * a wrong handshake leaves behind (E-06).
 */
export async function judgeRequest(
  request: IncomingMessage,
  rules: AccessRules,
  nowMs: number,
): Promise<AccessJudgement> {
  const { path: asked, search } = splitTarget(request.url ?? "");
  const path = findServedPath(asked, rules);
  if (path === undefined) {
    const clean = rules.tokens.compatible ? findServedPath(posix.normalize(asked), rules) : undefined;
    return clean === undefined
      ? { outcome: "refused", refusal: "path" }
      : { outcome: "moved", location: `${clean}${search}` };
  }
  const refuse = (refusal: Refusal, more: { issuer?: string } = {}): AccessJudgement => ({
    outcome: "refused",
    refusal,
    path,
    ...more,
  });
  const { origin } = request.headers;
  if (origin !== undefined && rules.origins !== "any" && !rules.origins.has(origin)) return refuse("origin");
  const address = readClientAddress(request.socket.remoteAddress);
  if (address === undefined) return refuse("peer_address");
  const verified = await judgeToken(address, rules, () =>
    verifyRequest(request, search, pathRules(rules, path), { address, nowMs }),
  );
  if (verified.outcome === "refused") return { ...verified, path };
  const { issuer } = verified.claims;
  const good = { ...verified, path };
  if (path === allowPath && request.method === "POST") return { ...good, holding: { kind: "response" } };
  if (request.method !== "GET") return refuse("method", { issuer });
  const handshake = answerHandshake(request.headers, rules);
  return handshake === undefined
    ? refuse("handshake", { issuer })
    : { ...good, holding: { kind: "websocket", handshake } };
}

async function verifyRequest(
  request: IncomingMessage,
  search: string,
  rules: AccessRules,
  client: { readonly address: ClientAddress; readonly nowMs: number },
): Promise<TokenOutcome> {
  const query = new URLSearchParams(search);
  const form = rules.query ? await readForm(request) : undefined;
  const inForm = form?.get("access_token");
  if (inForm) query.set("access_token", inForm); // a form wins (E-11)
  const found = findToken({ headers: request.headers, query }, rules);
  if ("token" in found) return await verifyAccessToken(found.token, rules.tokens, client);
  if (found.refusal !== "token_missing" || rules.tokenRequired) return { outcome: "refused", refusal: found.refusal };
  const claims = { issuer: "", subject: "", expiresAtMs: client.nowMs, tokenId: undefined };
  return { outcome: "good", claims, isMonitor: false, addresses: [client.address] };
}

function pathRules(rules: AccessRules, path: ServedPath): AccessRules {
  return path === allowPath ? { ...rules, tokens: { ...rules.tokens, subjectMode: "client-ip" } } : rules;
}

function findServedPath(path: string, rules: AccessRules): ServedPath | undefined {
  if (path === accessPath) return accessPath;
  return path === allowPath && rules.allowPath ? allowPath : undefined;
}

function splitTarget(target: string): { readonly path: string; readonly search: string } {
  const at = target.indexOf("?");
  return at < 0 ? { path: target, search: "" } : { path: target.slice(0, at), search: target.slice(at) };
}
