import type { CommandContext } from "../command-context.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { decodeToken, readToken } from "../read-token.ts";

/** Options of `sandgate token inspect`. */
export interface InspectTokenOptions {
  readonly file?: string;
}

/** `sandgate token inspect`: what a token says. Verifies nothing, needs no suite and prints no signature. */
export async function inspectToken({ output }: CommandContext, options: InspectTokenOptions): Promise<number> {
  const { header, claims } = decodeToken(await readToken(options.file));
  output.document({ header, claims, verified: false });
  const print = (name: string, value: unknown) => {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    output.line(`${output.colors.dim(escapeLine(name).padEnd(28))}${escapeLine(text)}${timeNote(name, value)}`);
  };
  for (const [name, value] of Object.entries(header)) print(name, value);
  for (const [name, value] of Object.entries(claims)) print(name, value);
  output.note("not verified: anybody can write such a text");
  return exitCodes.ok;
}

function timeNote(name: string, value: unknown): string {
  if (!/^(iat|nbf|exp)$/.test(name) || typeof value !== "number" || !Number.isSafeInteger(value)) return "";
  const time = new Date(value * 1000);
  return Number.isNaN(time.getTime()) ? "" : `  (${time.toISOString()})`;
}
