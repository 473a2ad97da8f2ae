import { timestampMs } from "@bufbuild/protobuf/wkt";
import { AuthService, OperatorCertificateSchema } from "@sandgate/api/auth";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { formatOperatorCertificates } from "../operator-certificate-view.ts";
import { listOperatorCertificates } from "../pki/list-operator-certificates.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate pki ls`. */
export interface ListOperatorsOptions {
  readonly all?: boolean;
}

/** `sandgate pki ls`: the operators' certificates that are valid; with `--all` those of the past, too. */
export async function listOperators(context: CommandContext, options: ListOperatorsOptions): Promise<number> {
  const { output } = context;
  const connection = new SuiteConnection(context.clientFile());
  const found = await listOperatorCertificates(connection.client("auth", AuthService), context.interruptions.signal);
  connection.close();
  const now = Date.now();
  const certificates = found
    .filter(
      ({ revokeTime, expireTime }) =>
        options.all === true || (revokeTime === undefined && expireTime !== undefined && timestampMs(expireTime) > now),
    )
    .toSorted((one, other) => one.name.localeCompare(other.name) || one.serial.localeCompare(other.serial));
  output.document({ certificates: certificates.map((one) => messageJson(OperatorCertificateSchema, one)) });
  output.line(formatOperatorCertificates(certificates, output.colors));
  return exitCodes.ok;
}
