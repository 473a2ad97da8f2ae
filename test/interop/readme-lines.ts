import { readFileSync } from "node:fs";
import { resolve } from "node:path";

const readme = readFileSync(resolve(import.meta.dirname, "../../README.md"), "utf8");

/** The shell lines that the README gives for a language: the block whose first line is a comment that begins with its name. */
export function readmeLines(language: string): readonly string[] {
  const blocks = [...readme.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block = ""]) => block.trimEnd().split("\n"));
  const found = blocks.find(([first = ""]) => first.startsWith(`# ${language}`));
  if (found === undefined) throw new Error(`README.md says nothing about ${language}`);
  return found.slice(1);
}
