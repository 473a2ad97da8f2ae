import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { OperatorCertificateSchema } from "@sandgate/api/auth";
import type { OperatorCertificateRecord } from "../store/operator-certificate-store.ts";

/** An operator's certificate as the contract shows it. */
export function operatorCertificateMessage(
  record: OperatorCertificateRecord,
): MessageInitShape<typeof OperatorCertificateSchema> {
  const { createdAtMs, expiresAtMs, revokedAtMs, ...rest } = record;
  return {
    ...rest,
    createTime: timestampFromMs(createdAtMs),
    expireTime: timestampFromMs(expiresAtMs),
    revokeTime: revokedAtMs === undefined ? undefined : timestampFromMs(revokedAtMs),
  };
}
