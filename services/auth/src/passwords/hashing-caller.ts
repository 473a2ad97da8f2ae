import type { Call } from "@sandgate/rpc";
import { networkOf } from "./network-of.ts";
import type { HashingCaller } from "./password-hasher.ts";

/** For whom a call has a password hashed. */
export function hashingCallerOf(call: Call): HashingCaller {
  return { from: networkOf(call.connection.remoteAddress), signal: call.signal };
}
