import { appendFileSync, readFileSync, writeFileSync } from "node:fs";

/** How a test and the processes that are to die tell each other. */
export interface CrashFiles {
  /** Every point that is reached is written here, one a line. */
  readonly recordFile: string;
  /** Points count while this file exists. At the one that it names the process dies; after that it names none. */
  readonly armFile: string;
}

/** Told of every point that is reached. Does not return from the one at which the process is to die. */
export type ReachCrashPoint = (point: string) => void;

/** Which methods of an object have crash points, and what they are called. */
export interface CrashPointOptions {
  /** Methods that change nothing, neither here nor elsewhere. */
  readonly harmless: readonly string[];
  /** Tells calls of one method apart that do different things. */
  readonly label?: (method: string, args: readonly unknown[]) => string | undefined;
  /** Names a message of a stream, sent or received, that has points of its own; undefined for those that have none. */
  readonly message?: (method: string, message: unknown) => string | undefined;
}

/** Ends this process as `kill -9` does, at this very place. */
export function dieHere(): never {
  process.kill(process.pid, "SIGKILL");
  for (;;); // the signal is on its way: nothing more may happen
}

/** Has this process die where the files say. */
export function followCrashFiles({ recordFile, armFile }: CrashFiles): ReachCrashPoint {
  return (point) => {
    const killAt = readIfThere(armFile);
    if (killAt === undefined) return;
    appendFileSync(recordFile, `${point}\n`);
    if (point !== killAt) return;
    writeFileSync(armFile, ""); // whoever is started in its place lives
    dieHere();
  };
}

/**
 * Wraps an object so that `reach` is told before and after each call of its methods. `name` begins the points' names:
 * `<name>.<method>:before`, or `<name>.<method>(<label>):after`. Of a call that answers a stream there is no `after`; with
 * `options.message` its messages have points: before one is handed on, and after it was dealt with.
 */
export function withCrashPoints<T extends object>(
  name: string,
  target: T,
  reach: ReachCrashPoint,
  options: CrashPointOptions,
): T {
  async function* watch(method: string, messages: AsyncIterable<unknown>): AsyncGenerator {
    for await (const message of messages) {
      const label = options.message?.(method, message);
      if (label !== undefined) reach(`${name}.${method}(${label}):before`);
      try {
        yield message;
      } finally {
        if (label !== undefined) reach(`${name}.${method}(${label}):after`); // also where it was the last that is wanted
      }
    }
  }
  return new Proxy(target, {
    get(_, property) {
      const member: unknown = Reflect.get(target, property, target);
      if (typeof member !== "function" || typeof property !== "string") return member;
      if (options.harmless.includes(property)) return member.bind(target);
      return (...args: readonly unknown[]): unknown => {
        const label = options.label?.(property, args);
        const point = `${name}.${property}${label === undefined ? "" : `(${label})`}`;
        reach(`${point}:before`);
        const given = args.map((value) => (isStream(value) ? watch(property, value) : value));
        const result: unknown = member.apply(target, given);
        if (isStream(result)) return watch(property, result);
        if (!(result instanceof Promise)) {
          reach(`${point}:after`);
          return result;
        }
        return result.then((value: unknown) => {
          reach(`${point}:after`);
          return value;
        });
      };
    },
  });
}

/** The methods of a class that have crash points, whether anybody calls them or not. */
export function crashPointMethods(prototype: object, options: CrashPointOptions): readonly string[] {
  return Object.getOwnPropertyNames(prototype)
    .filter((property) => {
      const { value } = Object.getOwnPropertyDescriptor(prototype, property) ?? {};
      return typeof value === "function" && property !== "constructor" && !options.harmless.includes(property);
    })
    .sort();
}

function isStream(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}
