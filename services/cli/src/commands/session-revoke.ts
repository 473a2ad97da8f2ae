import {
  AuthService,
  type RevokeSandboxSessionsRequest,
  RevokeSandboxSessionsResponseSchema,
} from "@sandgate/api/auth";
import type { CommandContext } from "../command-context.ts";
import { usageFailure } from "../command-failure.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { decodeToken, readToken } from "../read-token.ts";
import { SuiteConnection } from "../suite-connection.ts";

type Target = Exclude<RevokeSandboxSessionsRequest["target"], { case: undefined }>;

/** Options of `sandgate session revoke`. */
export interface RevokeSessionOptions {
  readonly sandbox?: string;
  readonly user?: string;
  readonly all?: boolean;
  readonly reason: string;
}

/** `sandgate session revoke`: container tokens that nobody takes from now on: one, or many. */
export async function revokeSessions(
  context: CommandContext,
  tokenId: string | undefined,
  options: RevokeSessionOptions,
): Promise<number> {
  const targets: readonly (Target | undefined)[] = [
    tokenId === undefined ? undefined : { case: "tokenId", value: tokenId },
    options.sandbox === undefined ? undefined : { case: "sandbox", value: options.sandbox },
    options.user === undefined ? undefined : { case: "userId", value: options.user },
    options.all === true ? { case: "all", value: true } : undefined,
  ];
  const [target, second] = targets.filter((one) => one !== undefined);
  if (target === undefined || second !== undefined)
    throw usageFailure("say what to revoke, in one way", "an id, --sandbox, --user or --all");
  return revokeTarget(context, target, options.reason);
}

/** Options of `sandgate token revoke`. */
export interface RevokeTokenOptions {
  readonly file?: string;
  readonly reason: string;
}

/** `sandgate token revoke`: the token at hand counts no more, wherever it was copied to. */
export async function revokeToken(context: CommandContext, options: RevokeTokenOptions): Promise<number> {
  const { jti } = decodeToken(await readToken(options.file)).claims;
  if (typeof jti !== "string") throw usageFailure("the token has no id");
  return revokeTarget(context, { case: "tokenId", value: jti }, options.reason);
}

async function revokeTarget(context: CommandContext, target: Target, reason: string): Promise<number> {
  const connection = new SuiteConnection(context.clientFile());
  const response = await connection
    .client("auth", AuthService)
    .revokeSandboxSessions({ target, reason }, { signal: context.interruptions.signal });
  connection.close();
  context.output.document(messageJson(RevokeSandboxSessionsResponseSchema, response));
  context.output.line(`${response.revokedCount} revoked`);
  return exitCodes.ok;
}
