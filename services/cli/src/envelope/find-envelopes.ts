import { readFile } from "node:fs/promises";
import { fetchJson } from "@sandgate/identity/remote-keys";
import { CommandFailure, usageFailure } from "../command-failure.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { readToken } from "../read-token.ts";
import { type EnvelopeTarget, type EnvelopeWindow, openEnvelope, parseEnvelopeUrl } from "./open-envelope.ts";

const LOCATE_MS = 30_000;

/** Options that say where to be let in, and with what. */
export interface EnvelopeOptions {
  readonly url?: string;
  readonly tokenFile?: string;
  readonly locate?: string;
  readonly envelopeKey: string;
  readonly caFile?: string;
  readonly insecure?: boolean;
}

/** The first envelope that lets this machine in, of the one that is named or of those that a locator names, in its order. */
export async function openFirstEnvelope(
  options: EnvelopeOptions,
  context: { readonly signal: AbortSignal; readonly note: (text: string) => void },
): Promise<{ readonly target: EnvelopeTarget; readonly window: EnvelopeWindow }> {
  const targets = await findEnvelopes(options, context.signal);
  for (const [index, target] of targets.entries()) {
    try {
      return { target, window: await openEnvelope(target, context) };
    } catch (error) {
      if (index === targets.length - 1 || context.signal.aborted || !(error instanceof CommandFailure)) throw error;
      context.note(error.message);
    }
  }
  throw new CommandFailure({ message: "the locator names no envelope", exitCode: exitCodes.unavailable });
}

async function findEnvelopes(options: EnvelopeOptions, signal: AbortSignal): Promise<readonly EnvelopeTarget[]> {
  const { url, locate, caFile, tokenFile, insecure = false } = options;
  if ((url === undefined) === (locate === undefined)) throw usageFailure("name an envelope: either --url or --locate");
  if (locate !== undefined && tokenFile !== undefined) throw usageFailure("with --locate the locator gives the token");
  const ca = caFile === undefined ? undefined : await readAuthorities(caFile);
  if (url !== undefined) {
    const parsed = parseEnvelopeUrl(url, { insecure });
    if (parsed.search !== "") throw usageFailure("the URL must hold no token: others can read the command line");
    return [{ url: parsed, token: await readToken(tokenFile), ca }];
  }
  const asked = parseEnvelopeUrl(locate ?? "", { insecure });
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(LOCATE_MS)]);
  const answer = await fetchJson(asked, { signal: bounded, ca }).catch((cause: unknown) => {
    const message = `the locator at ${asked.host} does not answer`;
    throw new CommandFailure({ message, exitCode: exitCodes.unavailable }, { cause });
  });
  return readResults(answer, options.envelopeKey).map((text) => ({
    url: parseEnvelopeUrl(text, { insecure }),
    token: undefined,
    ca,
  }));
}

/** `{results: [{urls: {KEY: URL}}], error: {title}}`, as M-Lab's locator answers. */
function readResults(answer: unknown, key: string): readonly string[] {
  const { error, results } = asRecord(answer);
  if (error !== undefined)
    throw new CommandFailure({ message: `the locator refused: ${escapeLine(String(asRecord(error)["title"] ?? ""))}` });
  return (Array.isArray(results) ? results : []).flatMap((result: unknown) => {
    const url = asRecord(asRecord(result)["urls"])[key];
    return typeof url === "string" ? [url] : [];
  });
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

async function readAuthorities(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    throw new CommandFailure({ message: `${file} cannot be read`, exitCode: exitCodes.usage }, { cause });
  }
}
