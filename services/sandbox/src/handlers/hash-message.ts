import { createHash } from "node:crypto";
import { type DescMessage, type JsonValue, type MessageShape, toJson } from "@bufbuild/protobuf";

/** SHA-256 of a message, the same for equal messages in whatever order their maps were written. */
export function hashMessage<D extends DescMessage>(schema: D, message: MessageShape<D>): Uint8Array {
  return createHash("sha256")
    .update(JSON.stringify(sortKeys(toJson(schema, message))))
    .digest();
}

function sortKeys(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([key, inner]): [string, JsonValue] => [key, sortKeys(inner)]);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}
