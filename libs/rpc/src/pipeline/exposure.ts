import type { DescMethod } from "@bufbuild/protobuf";
import type { Listener } from "@sandgate/api/options";
import { readAccess } from "./access.ts";

/**
 * Whether a method exists on a listener. Asked when services are mounted, before any call: what is not declared for a
 * listener has no route there, so nothing that comes later can let it through.
 */
export function isExposed(method: DescMethod, listener: Listener): boolean {
  return readAccess(method).listeners.includes(listener);
}
