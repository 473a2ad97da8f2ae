import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { OperatorCertificate } from "@sandgate/api/auth";
import { escapeLine } from "./escape-control.ts";
import type { Output } from "./output.ts";
import { roleNames } from "./role-name.ts";
import { formatTable } from "./table.ts";

/** A table of operators' certificates. */
export function formatOperatorCertificates(
  certificates: readonly OperatorCertificate[],
  colors: Output["colors"],
): string {
  const time = (moment: OperatorCertificate["expireTime"]) =>
    moment === undefined ? "" : new Date(timestampMs(moment)).toISOString();
  return formatTable(
    ["name", "role", "serial", "expires", "revoked"],
    certificates.map((one) => [
      escapeLine(one.name),
      roleNames[one.role - 1] ?? "",
      one.serial,
      time(one.expireTime),
      colors.red(time(one.revokeTime)),
    ]),
  );
}
