import { getOption } from "@bufbuild/protobuf";
import { type ErrorReason, ErrorReasonSchema } from "@sandgate/api/errors";
import { type ErrorDescription, error as errorOption } from "@sandgate/api/options";

/** A reason of sandgate.errors.v1.ErrorReason, without its prefix. */
export type Reason = Exclude<keyof typeof ErrorReason, "UNSPECIFIED">;

/**
 * The one error that handlers, stores and steps throw. Its message is lower-case plain words without values;
 * values go into `metadata`, which the caller sees. The `cause` is logged and never sent.
 */
export class ServiceError extends Error {
  override readonly name = "ServiceError";
  readonly reason: Reason;
  readonly metadata: Readonly<Record<string, string>>;

  constructor(
    reason: Reason,
    message: string,
    metadata: Readonly<Record<string, string>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.reason = reason;
    this.metadata = metadata;
  }
}

/** The status code (google.rpc.Code) and the mend of a reason, as errors.proto declares them. */
export function describeReason(reason: Reason): ErrorDescription {
  const value = ErrorReasonSchema.values.find((candidate) => candidate.localName === reason);
  if (value === undefined) throw new TypeError(`errors.proto declares no reason ${reason}`);
  return getOption(value, errorOption);
}
