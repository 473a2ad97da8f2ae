import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { AuthService, SandboxSessionSchema } from "@sandgate/api/auth";
import { fetchJson, parseKeySetUrl } from "@sandgate/identity/remote-keys";
import { type EgressClaims, readKeySet, tokenIssuer, verifyToken } from "@sandgate/identity/tokens";
import type { CommandContext } from "../command-context.ts";
import { CommandFailure, usageFailure } from "../command-failure.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { readClientCertificate } from "../read-client-certificate.ts";
import { decodeToken, readToken } from "../read-token.ts";
import { SuiteConnection } from "../suite-connection.ts";

const READ_MS = 10_000;

/** Options of `sandgate token verify`. */
export interface VerifyTokenOptions {
  readonly audience: string;
  readonly issuer?: string;
  readonly keys?: string;
  readonly ca?: string;
  readonly certificate?: string;
  readonly file?: string;
}

/** `sandgate token verify`: whether a relying party may take a container token: by public keys alone, or by the word of the suite. */
export async function verifyContainerToken(context: CommandContext, options: VerifyTokenOptions): Promise<number> {
  if (options.keys === undefined) {
    if (options.ca !== undefined) throw usageFailure("--ca goes with --keys");
    return verifyBySuite(context, options);
  }
  if (options.issuer === undefined) throw usageFailure("without the suite nobody knows the issuer", "--issuer");
  return verifyByKeys(context, { ...options, keys: options.keys, issuer: options.issuer });
}

async function verifyByKeys(
  { output, interruptions }: CommandContext,
  options: VerifyTokenOptions & { readonly keys: string; readonly issuer: string },
): Promise<number> {
  const trustDomain = /^https:\/\/auth\.([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)$/.exec(options.issuer)?.[1];
  if (trustDomain === undefined)
    throw usageFailure("this is no issuer of container tokens", "https://auth.<trust domain>");
  const certificate = options.certificate === undefined ? undefined : readClientCertificate(options.certificate);
  const token = await readToken(options.file);
  const keys = await readKeys(options.keys, options.ca, interruptions.signal);
  const verification = await verifyToken("egress", token, {
    keys: { find: (kid) => keys.get(kid) },
    trustDomain,
    audience: options.audience,
    now: Date.now(),
    ...(certificate === undefined ? namedHolder(token) : proofOf(certificate)),
  });
  if (verification.outcome === "not_ours") throw refused("no key of this set has signed the token");
  if (verification.outcome === "rejected")
    throw verification.fault === "expired"
      ? refused("the token has expired", "CREDENTIAL_EXPIRED")
      : refused(`the token is refused: ${verification.detail}`);
  const { claims, keyId } = verification;
  output.document({
    verified: true,
    by: "keys",
    keyId,
    holderChecked: certificate !== undefined,
    claims: printable(claims),
  });
  output.line(`sandbox ${claims.sandboxId}, until ${new Date(claims.expiresAtMs).toISOString()}`);
  if (claims.confirmation !== undefined && certificate === undefined)
    output.note("bound to a client certificate: whether it came with that one, --certificate would tell");
  output.note("by its keys alone: whether it was revoked, only the suite knows");
  return exitCodes.ok;
}

/** The suite keeps the hash of every token that it minted and that still counts: what it finds is genuine, live and not revoked. */
async function verifyBySuite(context: CommandContext, options: VerifyTokenOptions): Promise<number> {
  const { output } = context;
  const token = await readToken(options.file);
  const { claims } = decodeToken(token);
  const file = context.clientFile();
  const issuer = options.issuer ?? tokenIssuer(file.trustDomain);
  if (issuer !== tokenIssuer(file.trustDomain)) throw refused("this suite is another issuer");
  const connection = new SuiteConnection(file);
  const { session } = await connection
    .client("auth", AuthService)
    .getSandboxSession(
      { key: { case: "tokenSha256", value: createHash("sha256").update(token).digest("hex") } },
      { signal: context.interruptions.signal },
    )
    .catch((thrown: unknown) => {
      if (thrown instanceof Error && "reason" in thrown && thrown.reason === "SANDBOX_SESSION_NOT_FOUND")
        throw refused("the suite knows no live token like this: never minted, changed, expired or revoked");
      throw thrown;
    })
    .finally(() => connection.close());
  if (session?.expireTime === undefined) throw new Error("the service answered without a session");
  if (session.audience !== options.audience) throw refused("the token is for another audience");
  const isBound = "cnf" in claims;
  if (isBound && options.certificate !== undefined && !isHolder(claims["cnf"], options.certificate))
    throw refused("the token is bound to another certificate");
  const holderChecked = isBound && options.certificate !== undefined;
  output.document({ verified: true, by: "suite", holderChecked, session: messageJson(SandboxSessionSchema, session) });
  output.line(
    `sandbox ${escapeLine(session.sandboxId)}, until ${new Date(timestampMs(session.expireTime)).toISOString()}`,
  );
  if (isBound && !holderChecked)
    output.note("bound to a client certificate: whether it came with that one, --certificate would tell");
  return exitCodes.ok;
}

type Keys = ReturnType<typeof readKeySet>;

async function readKeys(source: string, caFile: string | undefined, interrupted: AbortSignal): Promise<Keys> {
  const isUrl = /^https?:/i.test(source);
  if (!isUrl && caFile !== undefined) throw usageFailure("--ca goes with keys over https");
  try {
    return readKeySet(
      isUrl ? await fetchKeys(source, caFile, interrupted) : JSON.parse(await readFile(source, "utf8")),
    );
  } catch (cause) {
    if (cause instanceof CommandFailure) throw cause;
    throw new CommandFailure(
      { message: `${source} gives no key set of Sandgate`, exitCode: isUrl ? exitCodes.unavailable : exitCodes.usage },
      { cause },
    );
  }
}

async function fetchKeys(source: string, caFile: string | undefined, interrupted: AbortSignal): Promise<unknown> {
  let url: URL;
  try {
    url = parseKeySetUrl(source);
  } catch {
    throw usageFailure("keys are read over https, or over http from this machine");
  }
  const ca = caFile === undefined ? undefined : await readFile(caFile, "utf8");
  return fetchJson(url, { signal: AbortSignal.any([interrupted, AbortSignal.timeout(READ_MS)]), ca });
}

function refused(message: string, reason = "CREDENTIAL_REJECTED"): CommandFailure {
  return new CommandFailure({ message, reason, exitCode: exitCodes.denied });
}

interface Proof {
  readonly keyThumbprint: string | undefined;
  readonly certificateSha256: string | undefined;
}

function proofOf(certificate: ReturnType<typeof readClientCertificate>): Proof {
  return { keyThumbprint: certificate.keyThumbprint, certificateSha256: certificate.sha256 };
}

/** The holder that the token itself names, for when nobody says who presented it. */
function namedHolder(token: string): Proof {
  const confirmation = decodeToken(token).claims["cnf"];
  return { keyThumbprint: memberOf(confirmation, "jkt"), certificateSha256: memberOf(confirmation, "x5t#S256") };
}

function isHolder(confirmation: unknown, certificateFile: string): boolean {
  const { sha256, keyThumbprint } = readClientCertificate(certificateFile);
  return memberOf(confirmation, "jkt") === keyThumbprint || memberOf(confirmation, "x5t#S256") === sha256;
}

function memberOf(value: unknown, name: string): string | undefined {
  const member: unknown =
    typeof value === "object" && value !== null && Object.hasOwn(value, name) ? Reflect.get(value, name) : undefined;
  return typeof member === "string" ? member : undefined;
}

function printable(claims: EgressClaims): Readonly<Record<string, unknown>> {
  return { ...claims, incarnation: String(claims.incarnation) };
}
