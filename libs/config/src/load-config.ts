import { readFileSync } from "node:fs";
import { parseDocument } from "yaml";
import type * as z from "zod";
import { describeFileError } from "./checked-file.ts";
import { ConfigError, type ConfigFault } from "./config-error.ts";
import { isDevelopmentOnly } from "./development-only.ts";
import { type Environment, readEnvironment } from "./environment.ts";
import { fieldsOf, unwrapSchema } from "./schema-node.ts";

const prefix = "SANDGATE_";

/** Names the configuration file; the one variable with our prefix that overrides no field. */
export const configFileVariable = "SANDGATE_CONFIG";

/**
 * Loads a program's configuration: the YAML or JSON file, if one is named, then `SANDGATE_<PATH__TO__FIELD>` variables over it
 * (`SANDGATE_ADMIN__PORT=9100` is `admin.port`; lists and objects as JSON). Throws ConfigError with every fault there is:
 * unknown fields and variables, wrong values, files that cannot be used, and, unless `mode` is `development`, fields marked
 * `developmentOnly`.
 */
export function loadConfig<S extends z.ZodType>(options: {
  readonly schema: S;
  readonly file?: string | undefined;
  /** What such a file would hold, where it comes from elsewhere; instead of one. */
  readonly content?: Readonly<Record<string, unknown>>;
  /** Default: this process's environment. */
  readonly env?: Environment;
}): z.output<S> {
  const { schema } = options;
  const faults: ConfigFault[] = [];
  const raw =
    options.file === undefined ? structuredClone({ ...options.content }) : readConfigFile(options.file, faults);
  if (raw === undefined) throw new ConfigError(faults); // nothing to check the rest against
  const origins = applyEnvironment(schema, raw, options.env ?? readEnvironment(), faults);
  if (raw.mode !== "development") refuseDevelopmentFields(schema, raw, [], faults);
  const result = schema.safeParse(raw);
  if (!result.success) faults.push(...result.error.issues.flatMap(describeIssue));
  if (faults.length > 0)
    throw new ConfigError(
      faults.map(({ path, message }) => {
        const origin = origins.get(path);
        return { path, message: origin === undefined ? message : `${message} (from ${origin})` };
      }),
    );
  if (!result.success) throw result.error;
  return result.data;
}

/**
 * The configuration file that the command line (`--config FILE` or `--config=FILE`) or SANDGATE_CONFIG names. Throws ConfigError
 * for any other argument.
 */
export function findConfigFile(options: {
  readonly argv: readonly string[];
  readonly env?: Environment;
}): string | undefined {
  const { argv } = options;
  let file = (options.env ?? readEnvironment())[configFileVariable];
  for (let index = 0; index < argv.length; index += 1) {
    const argument = argv[index] ?? "";
    const value = argument === "--config" ? argv[++index] : /^--config=(.+)$/s.exec(argument)?.[1];
    if (value === undefined)
      throw new ConfigError([{ path: "command line", message: "only --config FILE is understood" }]);
    file = value;
  }
  return file;
}

type RawObject = Record<string, unknown>;

function readConfigFile(file: string, faults: ConfigFault[]): RawObject | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    faults.push({ path: file, message: describeFileError(error) });
    return undefined;
  }
  const document = parseDocument(text, { prettyErrors: true, stringKeys: true });
  // the rest of the message quotes the file
  for (const error of [...document.errors, ...document.warnings])
    faults.push({ path: file, message: error.message.split("\n")[0]?.replace(/:$/, "") ?? error.code });
  if (faults.length > 0) return undefined;
  let content: unknown;
  try {
    content = document.toJS();
  } catch {
    faults.push({ path: file, message: "has too many aliases" });
    return undefined;
  }
  if (content === null) return {};
  if (isRawObject(content)) return content;
  faults.push({ path: file, message: "must hold an object" });
  return undefined;
}

function applyEnvironment(
  schema: z.core.$ZodType,
  raw: RawObject,
  env: Environment,
  faults: ConfigFault[],
): ReadonlyMap<string, string> {
  const origins = new Map<string, string>();
  for (const [name, text] of Object.entries(env).sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (!name.startsWith(prefix) || name === configFileVariable || text === undefined) continue;
    const path = name.slice(prefix.length).toLowerCase().split("__");
    const field = path.reduce<z.core.$ZodType | undefined>((at, key) => {
      const fields = at === undefined ? undefined : fieldsOf(at);
      return fields !== undefined && Object.hasOwn(fields, key) ? fields[key] : undefined;
    }, schema);
    if (field === undefined) {
      faults.push({ path: name, message: "names no field of the configuration" });
      continue;
    }
    let parent = raw;
    for (const key of path.slice(0, -1)) {
      const child = Object.hasOwn(parent, key) ? parent[key] : undefined;
      const next: RawObject = isRawObject(child) ? child : {};
      parent[key] = next;
      parent = next;
    }
    parent[path.at(-1) ?? ""] = parseVariable(field, text);
    origins.set(path.join("."), name);
  }
  return origins;
}

/** Text for a text field; otherwise JSON, and the text itself if it is not JSON, which the schema then refuses. */
function parseVariable(field: z.core.$ZodType, text: string): unknown {
  const { type } = unwrapSchema(field).schema._zod.def;
  if (type === "string" || type === "enum" || type === "literal") return text;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

function refuseDevelopmentFields(
  schema: z.core.$ZodType,
  value: unknown,
  path: readonly string[],
  faults: ConfigFault[],
): void {
  if (!isRawObject(value)) return;
  for (const [key, field] of Object.entries(fieldsOf(schema) ?? {})) {
    if (!Object.hasOwn(value, key)) continue;
    const at = [...path, key];
    if (isDevelopmentOnly(field)) faults.push({ path: at.join("."), message: "is refused unless mode is development" });
    else refuseDevelopmentFields(field, value[key], at, faults);
  }
}

function describeIssue(issue: z.core.$ZodIssue): ConfigFault[] {
  const path = issue.path.map(String);
  if (issue.code === "unrecognized_keys")
    return issue.keys.map((key) => ({ path: [...path, key].join("."), message: "unknown field" }));
  if (issue.code === "invalid_type" && issue.input === undefined && issue.message.endsWith("received undefined"))
    return [{ path: path.join("."), message: "is required" }];
  return [{ path: path.join(".") || "configuration", message: issue.message.replace(/^Invalid input: /, "") }];
}

function isRawObject(value: unknown): value is RawObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
