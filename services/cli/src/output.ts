import pc from "picocolors";
import type { FailureReport } from "./command-failure.ts";
import { escapeLine } from "./escape-control.ts";

type Colors = ReturnType<typeof pc.createColors>;

/** Where a command's words go: results to standard output, everything about them to standard error. */
export interface Output {
  /** Whether results are JSON: one document, or for streams one object a line. */
  readonly json: boolean;
  /** Colours of standard output; without effect unless it is a terminal. */
  readonly colors: Colors;
  /** Colours of standard error. */
  readonly noteColors: Colors;
  /** Whether standard error is a terminal, so that progress may be drawn. */
  readonly interactive: boolean;
  /** A line of the result, for people. Nothing with --json. */
  line(text?: string): void;
  /** A line about what is being done, on standard error. Nothing with --json. */
  note(text: string): void;
  /** A passing line on standard error that the next one replaces; nothing unless it is a terminal. */
  progress(text: string): void;
  /** The result, as one JSON document; nothing without --json. */
  document(value: unknown): void;
  /** One JSON object of a stream of results; nothing without --json. */
  event(value: unknown): void;
  /** Says what went wrong and what to do about it. */
  failure(report: FailureReport): void;
}

interface Stream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** Makes the output of one run of the command. */
export function createOutput(options: {
  stdout: Stream;
  stderr: Stream;
  json: boolean;
  /** False with --no-color, NO_COLOR or a dumb terminal. */
  color: boolean;
}): Output {
  const { stdout, stderr, json } = options;
  const colors = pc.createColors(options.color && stdout.isTTY === true);
  const noteColors = pc.createColors(options.color && stderr.isTTY === true);
  const interactive = stderr.isTTY === true && !json;
  let progressing = false;

  function clearProgress(): void {
    if (progressing) stderr.write("\r\u001b[K");
    progressing = false;
  }
  return {
    json,
    colors,
    noteColors,
    interactive,
    line(text = "") {
      if (json) return;
      clearProgress();
      stdout.write(`${text}\n`);
    },
    note(text) {
      if (json) return;
      clearProgress();
      stderr.write(`${text}\n`);
    },
    progress(text) {
      if (!interactive) return;
      clearProgress();
      if (text === "") return;
      stderr.write(noteColors.dim(text));
      progressing = true;
    },
    document(value) {
      if (json) stdout.write(`${JSON.stringify(value, null, stdout.isTTY === true ? 2 : undefined)}\n`);
    },
    event(value) {
      if (json) stdout.write(`${JSON.stringify(value)}\n`);
    },
    failure(report) {
      if (json) {
        stdout.write(`${JSON.stringify({ error: report })}\n`);
        return;
      }
      clearProgress();
      const details = Object.entries(report.metadata ?? {}).map(([name, value]) => `${name}=${escapeLine(value)}`);
      const why = details.length === 0 ? "" : noteColors.dim(` (${details.join(", ")})`);
      stderr.write(`${noteColors.red("sandgate:")} ${escapeLine(report.message)}${why}\n`);
      if (report.mend !== undefined) stderr.write(`${noteColors.dim("  →")} ${report.mend}\n`);
    },
  };
}
