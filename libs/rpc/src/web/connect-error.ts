import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "@sandgate/api/google/rpc/error-details";
import { describeReason, type Reason, ServiceError } from "../service-error.ts";
import { errorInfoOf } from "../status-details.ts";

/** The error as Connect sends it: the reason's code, and the ErrorInfo among its details. What is no ServiceError tells nothing. */
export function toConnectError(thrown: unknown): ConnectError {
  const error = thrown instanceof ServiceError ? thrown : new ServiceError("INTERNAL", "internal error");
  const { code } = describeReason(error.reason);
  return new ConnectError(error.message, code, undefined, [{ desc: ErrorInfoSchema, value: errorInfoOf(error) }]);
}

/** What Connect itself means by the codes with which it refuses a request before our pipeline sees it. */
const ownReasons: Readonly<Partial<Record<Code, Reason>>> = {
  [Code.Canceled]: "CANCELLED",
  [Code.Aborted]: "CANCELLED",
  [Code.DeadlineExceeded]: "DEADLINE_EXCEEDED",
  [Code.ResourceExhausted]: "REQUEST_TOO_LARGE",
  [Code.InvalidArgument]: "REQUEST_MALFORMED", // JSON that cannot be read, or a field that there is not
  [Code.Unimplemented]: "REQUEST_MALFORMED", // an unknown compression, or not exactly one message
};

const messages: Readonly<Partial<Record<Reason, string>>> = {
  CANCELLED: "the caller has gone away",
  DEADLINE_EXCEEDED: "the deadline has passed",
  REQUEST_TOO_LARGE: "the message is too large",
  REQUEST_MALFORMED: "the message cannot be parsed",
};

/** One of Connect's own refusals of a request in our words; what Connect found is in the metadata's `fault`. */
export function fromOwnError(thrown: unknown): ServiceError {
  const error = ConnectError.from(thrown);
  // protobuf that cannot be parsed is an INTERNAL to Connect
  const isMalformed = error.code === Code.Internal && error.rawMessage.startsWith("parse ");
  const reason = isMalformed ? "REQUEST_MALFORMED" : (ownReasons[error.code] ?? "INTERNAL");
  const metadata = reason === "REQUEST_MALFORMED" ? { fault: error.rawMessage } : {};
  return new ServiceError(reason, messages[reason] ?? "internal error", metadata, { cause: thrown });
}
