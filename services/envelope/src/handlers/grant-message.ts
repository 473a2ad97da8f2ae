import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { GrantSchema } from "@sandgate/api/access";
import type { Lease } from "../domain/lease-table.ts";

/** A lease as callers see it. `clocks` translate its deadline into theirs. */
export function grantMessage(
  { id, addresses, issuer, subject, deadlineMs }: Lease,
  clocks: { readonly clock: () => number; readonly monotonic: () => number },
): MessageInitShape<typeof GrantSchema> {
  return {
    grantId: id,
    addresses: addresses.map(({ text }) => text),
    issuer,
    subject,
    endTime: timestampFromMs(Math.round(clocks.clock() + deadlineMs - clocks.monotonic())),
  };
}
