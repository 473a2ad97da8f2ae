import { type DescMessage, type JsonValue, type MessageShape, toJson } from "@bufbuild/protobuf";

/** A message in the JSON that grpcurl prints, too: lower camel case, enum names, RFC 3339 times, 64-bit numbers as text. */
export function messageJson<D extends DescMessage>(schema: D, message: MessageShape<D>): JsonValue {
  return toJson(schema, message);
}
