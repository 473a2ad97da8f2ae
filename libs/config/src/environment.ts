/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The environment of this process. Nothing else in the project reads it. */
export function readEnvironment(): Environment {
  return process.env;
}
