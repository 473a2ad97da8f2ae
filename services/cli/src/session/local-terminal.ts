import type { ReadStream, WriteStream } from "node:tty";

/** The terminal that the user sits at. */
export interface LocalTerminal {
  size(): { rows: number; columns: number };
  /** Hands keys through as they are typed and tells every new size, until the returned function is called. */
  enter(onResize: (size: { rows: number; columns: number }) => void): () => void;
}

/** The user's terminal, from the process's own streams. */
export function createLocalTerminal(stdin: ReadStream, stdout: WriteStream): LocalTerminal {
  const size = () => ({ rows: stdout.rows || 24, columns: stdout.columns || 80 });
  return {
    size,
    enter(onResize) {
      const resized = () => onResize(size());
      const leave = () => stdin.setRawMode(false);
      stdin.setRawMode(true);
      stdout.on("resize", resized);
      process.once("exit", leave); // a terminal left in raw mode is of no use to its user
      return () => {
        stdout.off("resize", resized);
        process.off("exit", leave);
        leave();
      };
    },
  };
}
