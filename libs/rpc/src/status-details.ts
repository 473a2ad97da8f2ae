import { create, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { anyPack, anyUnpack } from "@bufbuild/protobuf/wkt";
import { ErrorReasonSchema } from "@sandgate/api/errors";
import { ErrorInfoSchema } from "@sandgate/api/google/rpc/error-details";
import { StatusSchema } from "@sandgate/api/google/rpc/status";
import { describeReason, type Reason, ServiceError } from "./service-error.ts";

/** The domain of every ErrorInfo that we send. */
const errorDomain = "sandgate.dev";

/** The trailer that carries google.rpc.Status. */
export const statusDetailsKey = "grpc-status-details-bin";

/** The ErrorInfo of an error. */
export function errorInfoOf(error: ServiceError): MessageShape<typeof ErrorInfoSchema> {
  return create(ErrorInfoSchema, { reason: error.reason, domain: errorDomain, metadata: { ...error.metadata } });
}

/** The google.rpc.Status of an error, encoded: code, message and one ErrorInfo. */
export function encodeStatusDetails(error: ServiceError): { code: number; details: Uint8Array } {
  const { code } = describeReason(error.reason);
  const info = errorInfoOf(error);
  const status = create(StatusSchema, { code, message: error.message, details: [anyPack(ErrorInfoSchema, info)] });
  return { code, details: toBinary(StatusSchema, status) };
}

/** The error that a status trailer stands for; undefined when it is not one of ours. */
export function decodeStatusDetails(bytes: Uint8Array): ServiceError | undefined {
  try {
    const status = fromBinary(StatusSchema, bytes);
    for (const detail of status.details) {
      const info = anyUnpack(detail, ErrorInfoSchema);
      if (info?.domain !== errorDomain || !isReason(info.reason)) continue;
      return new ServiceError(info.reason, status.message, info.metadata);
    }
  } catch {
    return undefined; // bytes of another implementation: the plain status still speaks
  }
  return undefined;
}

function isReason(text: string): text is Reason {
  return text !== "UNSPECIFIED" && ErrorReasonSchema.values.some((value) => value.localName === text);
}
