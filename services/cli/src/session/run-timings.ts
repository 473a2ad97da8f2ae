import type { Output } from "../output.ts";
import { formatTable } from "../table.ts";

/** Where the time of one run went: marks in milliseconds since the process began. */
export class RunTimings {
  readonly #elapsed: () => number;
  readonly #marks: { name: string; atMs: number }[] = [];

  constructor(elapsed: () => number) {
    this.#elapsed = elapsed;
  }

  /** Says that a stage has just ended. Each name counts once. */
  mark(name: string): void {
    if (!this.#marks.some((mark) => mark.name === name)) this.#marks.push({ name, atMs: this.#elapsed() });
  }

  /** Every stage with its end and its length. */
  get stages(): readonly { stage: string; endMs: number; tookMs: number }[] {
    return this.#marks.map(({ name, atMs }, index) => ({
      stage: name,
      endMs: round(atMs),
      tookMs: round(atMs - (this.#marks[index - 1]?.atMs ?? 0)),
    }));
  }

  /** The stages as a table. */
  format(colors: Output["colors"]): string {
    return formatTable(
      ["stage", "took", "at"],
      this.stages.map(({ stage, tookMs, endMs }) => [
        stage,
        `${tookMs.toFixed(1)} ms`,
        colors.dim(`${endMs.toFixed(1)} ms`),
      ]),
    );
  }
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
