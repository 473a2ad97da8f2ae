import type { ReadStream } from "node:tty";
import { CommandFailure, usageFailure } from "../command-failure.ts";
import { exitCodeOfSignal } from "../interruptions.ts";

const maximumBytes = 16_384;

/**
 * Asks a person at a terminal, without showing what is typed where it is secret; without a terminal each question takes the next
 * line of standard input. Secrets come in this way alone: an argument can be read by every process of the machine.
 */
export class SecretInput {
  readonly #stdin: NodeJS.ReadStream;
  readonly #stderr: NodeJS.WritableStream;
  #lines: string[] | undefined;

  constructor(streams: { readonly stdin: NodeJS.ReadStream; readonly stderr: NodeJS.WritableStream }) {
    this.#stdin = streams.stdin;
    this.#stderr = streams.stderr;
  }

  get isTerminal(): boolean {
    return this.#stdin.isTTY === true;
  }

  /** The answer, at least one character. */
  async ask(question: string, options: { readonly secret: boolean } = { secret: true }): Promise<string> {
    const answer = this.isTerminal ? await this.#askPerson(question, options.secret) : await this.#nextLine();
    if (answer === undefined || answer === "")
      throw usageFailure(`nothing was given for: ${question}`, "give each answer on a line of standard input");
    return answer;
  }

  /** A secret that is new: a person types it twice. */
  async askNew(question: string): Promise<string> {
    const answer = await this.ask(question);
    if (this.isTerminal && (await this.ask(`${question} again`)) !== answer)
      throw usageFailure("the two are not the same");
    return answer;
  }

  async #nextLine(): Promise<string | undefined> {
    this.#lines ??= await this.#readLines();
    return this.#lines.shift();
  }

  async #readLines(): Promise<string[]> {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of this.#stdin) {
      const bytes = Buffer.from(chunk);
      size += bytes.length;
      if (size > maximumBytes) throw usageFailure("standard input is longer than any answer");
      chunks.push(bytes);
    }
    return Buffer.concat(chunks).toString("utf8").split(/\r?\n/);
  }

  async #askPerson(question: string, secret: boolean): Promise<string> {
    const terminal = this.#stdin as ReadStream; // `isTTY` says so
    terminal.setRawMode(true); // before the question, so that nothing typed is shown by the terminal itself
    this.#stderr.write(secret ? `${question}: ` : `${question}:\r\n`);
    terminal.setEncoding("utf8");
    terminal.resume();
    try {
      return await this.#readTyped(terminal, secret);
    } finally {
      terminal.setRawMode(false);
      terminal.pause();
      this.#stderr.write("\n");
    }
  }

  /** What is typed until return, with backspace and Ctrl-U; Ctrl-C and Ctrl-D give up. */
  #readTyped(terminal: ReadStream, secret: boolean): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    let typed: readonly string[] = [];
    const take = (character: string): void => {
      if (character === "\r" || character === "\n") resolve(typed.join(""));
      else if (character === "\u0003" || character === "\u0004")
        reject(new CommandFailure({ message: "given up", exitCode: exitCodeOfSignal("SIGINT") }));
      else if (character === "\u0015") typed = [];
      else if (character === "\u007f" || character === "\b") typed = typed.slice(0, -1);
      else if (character >= " ") typed = [...typed, character];
      if (!secret) this.#stderr.write(`\r\u001b[K${typed.join("")}`);
    };
    const onData = (data: string): void => {
      for (const character of data) take(character);
    };
    terminal.on("data", onData);
    return promise.finally(() => terminal.off("data", onData));
  }
}
