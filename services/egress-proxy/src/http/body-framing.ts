import { Refusal } from "../decision/refusal.ts";
import type { HeaderFields } from "./header-fields.ts";

/** How a body's end is known. */
export type BodyFraming =
  | { readonly kind: "none" }
  | { readonly kind: "length"; readonly bytes: number }
  | { readonly kind: "chunked" }
  /** Of answers alone. */
  | { readonly kind: "until-close" };

/**
 * Reads the framing fields in their one unambiguous form: at most one of Content-Length (digits alone) and
 * Transfer-Encoding (`chunked` alone, HTTP/1.1), once. Undefined where there is neither. Throws Refusal.
 */
export function readFraming(fields: HeaderFields, version: "1.0" | "1.1"): BodyFraming | undefined {
  const length = fields.single("content-length");
  const encoding = fields.single("transfer-encoding");
  if (encoding !== undefined) {
    if (length !== undefined) throw Refusal.malformed("content-length stands beside transfer-encoding");
    if (version === "1.0") throw Refusal.malformed("transfer-encoding in HTTP/1.0");
    if (encoding.toLowerCase() !== "chunked") throw Refusal.malformed("transfer-encoding is not chunked");
    return { kind: "chunked" };
  }
  if (length === undefined) return undefined;
  if (!/^[0-9]{1,15}$/.test(length)) throw Refusal.malformed("content-length is not a number");
  return length === "0" ? { kind: "none" } : { kind: "length", bytes: Number(length) };
}
