import { join } from "node:path";

/** Where a user's logins are: `sandgate/logins.json` in their configuration directory; undefined for one who has no home. */
export function loginFilePath(place: {
  readonly home: string | undefined;
  readonly xdgConfigHome: string | undefined;
}): string | undefined {
  if (place.xdgConfigHome !== undefined && place.xdgConfigHome !== "")
    return join(place.xdgConfigHome, "sandgate/logins.json");
  return place.home === undefined ? undefined : join(place.home, ".config/sandgate/logins.json");
}
