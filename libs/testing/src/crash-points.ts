import { appendFileSync, existsSync } from "node:fs";

/** Where a process is to die. */
export interface CrashPlan {
  /** Every point that is reached is written here, one a line. */
  readonly recordFile: string;
  /** Points count from the moment on when this file exists. */
  readonly armFile: string;
  /** Such as `store.create:after`; undefined: nowhere. */
  readonly killAt?: string;
}

/** Which methods of an object have crash points, and what they are called. */
export interface CrashPointOptions {
  /** Methods that change nothing, neither here nor elsewhere. */
  readonly harmless: readonly string[];
  /** Tells calls of one method apart that do different things. */
  readonly label?: (method: string, args: readonly unknown[]) => string | undefined;
}

/**
 * Wraps an object so that the process can be killed (SIGKILL, by itself) before and after each call of its methods. `name` begins
 * the points' names: `<name>.<method>:before`, or `<name>.<method>(<label>):after`.
 */
export function withCrashPoints<T extends object>(
  name: string,
  target: T,
  plan: CrashPlan,
  options: CrashPointOptions,
): T {
  const reach = (point: string): void => {
    if (!existsSync(plan.armFile)) return;
    appendFileSync(plan.recordFile, `${point}\n`);
    if (point !== plan.killAt) return;
    process.kill(process.pid, "SIGKILL");
    for (;;); // the signal is on its way: nothing more may happen
  };
  return new Proxy(target, {
    get(_, property) {
      const member: unknown = Reflect.get(target, property, target);
      if (typeof member !== "function" || typeof property !== "string") return member;
      if (options.harmless.includes(property)) return member.bind(target);
      return (...args: readonly unknown[]): unknown => {
        const label = options.label?.(property, args);
        const point = `${name}.${property}${label === undefined ? "" : `(${label})`}`;
        reach(`${point}:before`);
        const result: unknown = member.apply(target, args);
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
