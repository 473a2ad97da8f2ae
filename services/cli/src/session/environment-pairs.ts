import { usageFailure } from "../command-failure.ts";

/** The variables of `--env NAME=VALUE`. Refuses what is not of that form, so that no variable of the caller's own slips in. */
export function parseEnvironmentPairs(pairs: readonly string[]): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const pair of pairs) {
    const match = /^([A-Za-z_][A-Za-z0-9_]*)=([\s\S]*)$/.exec(pair);
    if (match?.[1] === undefined || match[2] === undefined)
      throw usageFailure("--env takes NAME=VALUE", "write it as --env NAME=VALUE; the value may be empty");
    environment[match[1]] = match[2];
  }
  return environment;
}
