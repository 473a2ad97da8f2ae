import * as z from "zod";

/** A schema without its wrappers, and what the wrappers said. */
export interface SchemaNode {
  readonly schema: z.core.$ZodTypes;
  readonly required: boolean;
  /** Undefined where there is none. */
  readonly defaultValue: unknown;
  readonly description: string;
}

/** Takes optional, default, readonly and transform wrappers off a schema. */
export function unwrapSchema(outer: z.core.$ZodType): SchemaNode {
  let schema = outer as z.core.$ZodTypes; // every schema that zod makes is one of the union
  let required = true;
  let defaultValue: unknown;
  let description = "";
  for (;;) {
    description ||= z.globalRegistry.get(schema)?.description ?? "";
    const { def } = schema._zod;
    switch (def.type) {
      case "optional":
        required = false;
        schema = def.innerType as z.core.$ZodTypes;
        break;
      case "default":
      case "prefault":
        required = false;
        defaultValue = def.defaultValue;
        schema = def.innerType as z.core.$ZodTypes;
        break;
      case "nullable":
      case "readonly":
      case "nonoptional":
        schema = def.innerType as z.core.$ZodTypes;
        break;
      case "pipe":
        schema = def.in as z.core.$ZodTypes;
        break;
      default:
        return { schema, required, defaultValue, description };
    }
  }
}

/** The fields of an object schema; undefined for every other schema. */
export function fieldsOf(schema: z.core.$ZodType): Readonly<Record<string, z.core.$ZodType>> | undefined {
  const { schema: inner } = unwrapSchema(schema);
  return inner._zod.def.type === "object" ? inner._zod.def.shape : undefined;
}
