import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type SigningKey, SigningKeyState } from "@sandgate/api/auth";
import type { Output } from "./output.ts";
import { formatTable } from "./table.ts";

/** A table of signing keys, with the moment from which each signs or signed. */
export function formatSigningKeys(keys: readonly SigningKey[], colors: Output["colors"]): string {
  const time = (moment: SigningKey["signTime"]) =>
    moment === undefined ? "" : new Date(timestampMs(moment)).toISOString();
  return formatTable(
    ["kid", "algorithm", "state", "published", "signs from", "ended"],
    keys.map((key) => [
      key.kid,
      key.algorithm,
      coloredState(key.state, colors),
      time(key.publishTime),
      time(key.signTime),
      time(key.revokeTime ?? key.retireTime),
    ]),
  );
}

function coloredState(state: SigningKeyState, colors: Output["colors"]): string {
  const name = (SigningKeyState[state] ?? String(state)).toLowerCase();
  switch (state) {
    case SigningKeyState.CURRENT:
      return colors.green(name);
    case SigningKeyState.REVOKED:
      return colors.red(name);
    case SigningKeyState.RETIRED:
      return colors.dim(name);
    default:
      return name;
  }
}
