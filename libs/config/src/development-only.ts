import * as z from "zod";

const marks = z.registry<{ readonly developmentOnly: true }>();

/** Marks a field or section that production mode refuses, whatever its value. It becomes optional. */
export function developmentOnly<S extends z.ZodType>(schema: S): z.ZodOptional<S> {
  const optional = schema.optional();
  marks.add(optional, { developmentOnly: true });
  return optional;
}

/** Whether a schema was marked by `developmentOnly`. */
export function isDevelopmentOnly(schema: z.core.$ZodType): boolean {
  return marks.get(schema as z.ZodType) !== undefined;
}
