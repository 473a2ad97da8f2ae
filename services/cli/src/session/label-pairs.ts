import { usageFailure } from "../command-failure.ts";

/** The labels of `--label KEY=VALUE`. Refuses what is not of that form, and a key that is given two values; the service judges the rest. */
export function parseLabelPairs(pairs: readonly string[]): Record<string, string> {
  const labels = new Map<string, string>();
  for (const pair of pairs) {
    const equals = pair.indexOf("=");
    if (equals < 1)
      throw usageFailure("--label takes KEY=VALUE", "write it as --label KEY=VALUE; the value may be empty");
    const [key, value] = [pair.slice(0, equals), pair.slice(equals + 1)];
    if ((labels.get(key) ?? value) !== value) throw usageFailure("--label gives a key two values");
    labels.set(key, value);
  }
  return Object.fromEntries(labels);
}
