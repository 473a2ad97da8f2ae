import { performance } from "node:perf_hooks";

/** What one step of the story found. */
interface Step {
  readonly title: string;
  readonly facts: Record<string, unknown>;
  readonly checks: { readonly claim: string; readonly holds: boolean }[];
  tookMs: number;
}

/** A claim of the story that did not hold. */
class BrokenClaim extends Error {
  override readonly name = "BrokenClaim";
}

/** Tells the story: step by step for people, or as one JSON document at its end. */
export class Telling {
  readonly #json: boolean;
  readonly #color: boolean;
  readonly #write: (text: string) => void;
  readonly #steps: Step[] = [];
  readonly #startedAt = performance.now();
  #fault: string | undefined;
  #current: Step | undefined;

  constructor(options: { json: boolean; color: boolean; write: (text: string) => void }) {
    this.#json = options.json;
    this.#color = options.color;
    this.#write = options.write;
  }

  /** Whether every step so far did what it says, and the story came to its end. */
  get succeeded(): boolean {
    return this.#fault === undefined && this.#steps.every(({ checks }) => checks.every(({ holds }) => holds));
  }

  /** Plays one step. A claim in it that does not hold ends the story. */
  async step(title: string, play: () => Promise<void>): Promise<void> {
    const step: Step = { title, facts: {}, checks: [], tookMs: 0 };
    this.#steps.push(step);
    this.#current = step;
    this.#say(`\n${this.#paint(1, `${String(this.#steps.length).padStart(2)}. ${title}`)}\n`);
    const startedAt = performance.now();
    try {
      await play();
    } finally {
      step.tookMs = performance.now() - startedAt;
    }
  }

  /** A command as one would type it. */
  command(words: string): void {
    this.#say(`      ${this.#paint(36, `$ ${words}`)}\n`);
  }

  /** A line that a command answered, or that explains one. */
  line(text: string): void {
    this.#say(`      ${text}\n`);
  }

  /** An explanation. */
  remark(text: string): void {
    this.#say(`      ${this.#paint(2, text)}\n`);
  }

  /** A value for the JSON document. */
  fact(name: string, value: unknown): void {
    if (this.#current !== undefined) this.#current.facts[name] = value;
  }

  /** States what must be so. Throws BrokenClaim if it is not. */
  claim(claim: string, holds: boolean, instead?: unknown): void {
    this.#current?.checks.push({ claim, holds });
    this.#say(`    ${holds ? this.#paint(32, "✓") : this.#paint(31, "✗")} ${claim}\n`);
    if (!holds) throw new BrokenClaim(instead === undefined ? claim : `${claim}; instead: ${JSON.stringify(instead)}`);
  }

  /** The story cannot go on. */
  breakOff(error: unknown): void {
    this.#fault = error instanceof Error ? error.message : String(error);
    this.#say(`\n${this.#paint(31, "The story broke off")}: ${this.#fault}\n`);
  }

  /** The last words. */
  end(): void {
    const tookMs = performance.now() - this.#startedAt;
    if (this.#json) {
      const document = {
        succeeded: this.succeeded,
        tookMs: Math.round(tookMs),
        ...(this.#fault === undefined ? {} : { fault: this.#fault }),
        steps: this.#steps.map(({ title, tookMs: took, facts, checks }) => ({
          title,
          tookMs: Math.round(took),
          ...facts,
          checks,
        })),
      };
      this.#write(`${JSON.stringify(document, null, 2)}\n`);
    } else if (this.succeeded)
      this.#say(
        `\n${this.#paint(32, `Every step did what it says, in ${(tookMs / 1000).toFixed(1)} s.`)} Nothing was left behind.\n\n`,
      );
  }

  #say(text: string): void {
    if (!this.#json) this.#write(text);
  }

  #paint(code: number, text: string): string {
    return this.#color ? `\u001b[${code}m${text}\u001b[0m` : text;
  }
}

/** A duration for people. */
export function milliseconds(ms: number): string {
  return ms < 1000 ? `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
}
