import type { HeaderFields } from "../http/header-fields.ts";
import { Refusal } from "./refusal.ts";

/** What a client showed in Proxy-Authorization. */
export interface ProxyCredentials {
  readonly token: string;
  /** The sandbox that the user name of Basic names; undefined with Bearer. */
  readonly userSandboxId: string | undefined;
}

const basicUser = /^(?:container_)?(sbx-[a-z2-7]{20}):(?:jwt_)?([A-Za-z0-9_.-]+)$/;

/**
 * Reads Proxy-Authorization: `Basic` with `container_<sandbox id>:jwt_<token>`, either prefix optional, or `Bearer <token>`.
 * Throws a 407 Refusal where it is missing, sent twice or spelled otherwise.
 */
export function readProxyCredentials(fields: HeaderFields): ProxyCredentials {
  const values = fields.values("proxy-authorization");
  const [value] = values;
  if (value === undefined)
    throw Refusal.unauthenticated("token_missing", "this proxy needs the sandbox's egress token");
  const [, scheme = "", argument = ""] = /^([A-Za-z]+) ([A-Za-z0-9+/=._-]+)$/.exec(value) ?? [];
  if (values.length === 1) {
    if (scheme.toLowerCase() === "bearer") return { token: argument, userSandboxId: undefined };
    const [, userSandboxId, token] =
      scheme.toLowerCase() === "basic" ? (basicUser.exec(decodeBase64(argument)) ?? []) : [];
    if (token !== undefined) return { token, userSandboxId };
  }
  throw Refusal.unauthenticated("token_invalid", "the proxy credentials are not in a form that is accepted");
}

/** Standard base64 with its padding, decoded; empty where it is spelled otherwise. */
function decodeBase64(text: string): string {
  const bytes = Buffer.from(text, "base64");
  return bytes.toString("base64") === text ? bytes.toString("latin1") : "";
}
