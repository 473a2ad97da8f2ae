/** One thing wrong with a configuration. Never carries the value. */
export interface ConfigFault {
  /** The field, `admin.port`; or the file, or the environment variable. */
  readonly path: string;
  readonly message: string;
}

/** Everything that is wrong with a configuration, one fault a line. Programs print it and exit with 2. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly exitCode = 2;
  readonly faults: readonly ConfigFault[];

  constructor(faults: readonly ConfigFault[]) {
    super(
      ["the configuration is not valid:", ...faults.map(({ path, message }) => `  ${path}: ${message}`)].join("\n"),
    );
    this.faults = faults;
  }
}
