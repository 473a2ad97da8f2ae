export { absolutePath, filePath, readSecretFile, secretFilePath } from "./checked-file.ts";
export { ConfigError, type ConfigFault } from "./config-error.ts";
export { type ConfigRow, describeSchema } from "./describe-schema.ts";
export { developmentOnly } from "./development-only.ts";
export { type Environment, readEnvironment } from "./environment.ts";
export { configFileVariable, findConfigFile, loadConfig } from "./load-config.ts";
export { Secret } from "./secret.ts";
export * as sections from "./sections.ts";
export { toConnectionSettings } from "./sections.ts";
