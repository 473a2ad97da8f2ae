import { ReadStream } from "node:tty";

/** A pseudo-terminal: our side as a stream, and the descriptor of the process's side. */
export interface Terminal {
  readonly ours: ReadStream;
  /** To be closed once the process has it. */
  readonly theirs: number;
  /** Does nothing once our side is closed. */
  resize(size: TerminalDimensions): void;
}

/** The size of a terminal. */
export interface TerminalDimensions {
  readonly rows: number;
  readonly columns: number;
}

/** What the native module offers that we use. */
interface PtyBinding {
  open(columns: number, rows: number): { master: number; slave: number };
  resize(fd: number, columns: number, rows: number): void;
}

/** Opens a pseudo-terminal. The native module is loaded at the first one. */
export async function openTerminal(size: TerminalDimensions): Promise<Terminal> {
  // The package's own JavaScript starts the process itself, in a way that gives it the supervisor's session: only its native module is used.
  const { requireBinary } = await import("@lydell/node-pty/requireBinary.js");
  const binding: PtyBinding = requireBinary("pty.node");
  const { columns, rows } = clamp(size);
  const { master, slave } = binding.open(columns, rows);
  const ours = new ReadStream(master);
  return {
    ours,
    theirs: slave,
    resize: (next) => {
      if (ours.destroyed) return; // whose descriptor it is now, nobody knows
      const { columns, rows } = clamp(next);
      binding.resize(master, columns, rows);
    },
  };
}

function clamp({ rows, columns }: TerminalDimensions): TerminalDimensions {
  const within = (value: number, fallback: number): number => (value < 1 ? fallback : Math.min(value, 4_096));
  return { rows: within(rows, 24), columns: within(columns, 80) };
}
