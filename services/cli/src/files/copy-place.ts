import { usageFailure } from "../command-failure.ts";

/** One side of a copy. */
export type CopyPlace =
  | { readonly kind: "local"; readonly path: string }
  | { readonly kind: "sandbox"; readonly sandbox: string; readonly path: string };

/** `SANDBOX:PATH`, or a path on this machine: what has a slash before its first colon, or no colon, is one. */
export function parseCopyPlace(text: string): CopyPlace {
  const colon = text.indexOf(":");
  if (colon <= 0 || text.slice(0, colon).includes("/")) return { kind: "local", path: text };
  return { kind: "sandbox", sandbox: text.slice(0, colon), path: text.slice(colon + 1) || "." };
}

/** Both sides, one of them a sandbox's. Refuses anything else. */
export function parseCopy(source: string, destination: string) {
  const [from, to] = [parseCopyPlace(source), parseCopyPlace(destination)];
  if (from.kind === "local" && to.kind === "sandbox") return { direction: "in", from, to } as const;
  if (from.kind === "sandbox" && to.kind === "local") return { direction: "out", from, to } as const;
  throw usageFailure(
    "one side, and one side alone, must be in a sandbox",
    "write SANDBOX:PATH for it; a path on this machine with a colon begins with ./",
  );
}
