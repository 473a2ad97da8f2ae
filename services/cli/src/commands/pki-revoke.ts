import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { AuthService, RevokeOperatorCertificatesResponseSchema } from "@sandgate/api/auth";
import type { CommandContext } from "../command-context.ts";
import { usageFailure } from "../command-failure.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { formatOperatorCertificates } from "../operator-certificate-view.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate pki revoke`. */
export interface RevokeOperatorOptions {
  readonly file?: string;
  readonly reason: string;
}

/** `sandgate pki revoke`: the certificates of an operator, or one, are refused everywhere when it returns; what is open is cut. */
export async function revokeOperator(
  context: CommandContext,
  subject: string | undefined,
  options: RevokeOperatorOptions,
): Promise<number> {
  const { output } = context;
  const target = targetOf(subject, options.file);
  const connection = new SuiteConnection(context.clientFile());
  const response = await connection
    .client("auth", AuthService)
    .revokeOperatorCertificates({ target, reason: options.reason }, { signal: context.interruptions.signal });
  connection.close();
  output.document(messageJson(RevokeOperatorCertificatesResponseSchema, response));
  output.line(formatOperatorCertificates(response.certificates, output.colors));
  return exitCodes.ok;
}

function targetOf(subject: string | undefined, file: string | undefined) {
  if ((subject === undefined) === (file === undefined))
    throw usageFailure(
      "name an operator or a serial number, or a certificate with --file",
      "`sandgate pki ls` has them",
    );
  if (subject !== undefined)
    return /^[0-9a-fA-F]{32}$/.test(subject)
      ? ({ case: "serial", value: subject } as const)
      : ({ case: "name", value: subject } as const);
  try {
    return { case: "certificate", value: new X509Certificate(readFileSync(file ?? "")).raw } as const;
  } catch {
    throw usageFailure(`${file} is not a certificate`, "name a certificate in PEM or DER");
  }
}
