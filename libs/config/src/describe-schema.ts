import type * as z from "zod";
import { isDevelopmentOnly } from "./development-only.ts";
import { fieldsOf, unwrapSchema } from "./schema-node.ts";

/** One line of the configuration reference. */
export interface ConfigRow {
  /** `admin.port`; `[]` stands for each item of a list, `*` for any key. */
  readonly path: string;
  readonly type: string;
  /** As JSON; "required" where there is none and one is needed, empty where the field may be absent. */
  readonly default: string;
  readonly description: string;
}

/** Every field of a schema in its own order, for docs/configuration.md. Throws if a field, but an object, has no description. */
export function describeSchema(schema: z.core.$ZodType): readonly ConfigRow[] {
  return describe(schema, "");
}

function describe(schema: z.core.$ZodType, path: string): ConfigRow[] {
  return Object.entries(fieldsOf(schema) ?? {}).flatMap(([key, field]) => {
    const at = path === "" ? key : `${path}.${key}`;
    const node = unwrapSchema(field);
    if (node.description === "" && node.schema._zod.def.type !== "object")
      throw new TypeError(`configuration field ${at} has no description`);
    const row: ConfigRow = {
      path: at,
      type: nameType(node.schema),
      default: node.defaultValue !== undefined ? JSON.stringify(node.defaultValue) : node.required ? "required" : "",
      description: isDevelopmentOnly(field) ? `${node.description}; development mode only` : node.description,
    };
    const { def } = node.schema._zod;
    switch (def.type) {
      case "object":
        return [row, ...describe(node.schema, at)];
      case "array":
        return [row, ...describe(def.element, `${at}[]`)];
      case "record":
        return [row, ...describe(def.valueType, `${at}.*`)];
      default:
        return [row];
    }
  });
}

function nameType(outer: z.core.$ZodType): string {
  const { schema } = unwrapSchema(outer);
  const { def } = schema._zod;
  switch (def.type) {
    case "number":
      return "format" in def && String(def.format).includes("int") ? "integer" : "number";
    case "enum":
      return Object.values(def.entries).join(" | ");
    case "literal":
      return def.values.map((value) => JSON.stringify(value)).join(" | ");
    case "array":
      return `list of ${nameType(def.element)}`;
    case "record":
      return `map of ${nameType(def.valueType)}`;
    case "union":
      return [...new Set(def.options.map(nameType))].join(" | ");
    default:
      return def.type;
  }
}
