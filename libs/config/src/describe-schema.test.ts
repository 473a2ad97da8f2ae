import { expect, test } from "vitest";
import * as z from "zod";
import { describeSchema } from "./describe-schema.ts";
import { developmentOnly } from "./development-only.ts";
import * as sections from "./sections.ts";

test("each field has a row with its path, type, default and description", () => {
  const schema = z.strictObject({
    mode: sections.mode,
    log: sections.log,
    admin: sections.admin,
    listeners: sections.listeners,
    limits: z.record(z.string(), z.int().describe("value")).optional().describe("limits by name"),
    rules: z
      .array(z.strictObject({ host: z.string().describe("the host") }))
      .default([])
      .describe("rules"),
    development: developmentOnly(
      z.strictObject({ open: z.boolean().default(false).describe("whether") }).describe("only for tests"),
    ),
  });
  const rows = describeSchema(schema).map(({ path, type, default: value }) => [path, type, value]);
  expect(rows).toEqual([
    ["mode", "production | development", '"production"'],
    ["log", "object", "{}"],
    ["log.level", "debug | info | warn | error", '"info"'],
    ["admin", "object", "required"],
    ["admin.port", "integer", "required"],
    ["listeners", "object", "required"],
    ["listeners.edge", "object", "required"],
    ["listeners.edge.addresses", "list of string", "required"],
    ["listeners.mtls", "object", "required"],
    ["listeners.mtls.addresses", "list of string", "required"],
    ["limits", "map of integer", ""],
    ["rules", "list of object", "[]"],
    ["rules[].host", "string", "required"],
    ["development", "object", ""],
    ["development.open", "boolean", "false"],
  ]);
  expect(describeSchema(schema).at(-2)?.description).toBe("only for tests; development mode only");
});

test("a field without a description is refused", () => {
  expect(() => describeSchema(z.strictObject({ port: z.int() }))).toThrow(
    "configuration field port has no description",
  );
});

test.each(Object.entries({ ...sections, ...sections.clients }))("shared section %s is described", (name, section) => {
  if (!(section instanceof z.ZodType)) return;
  expect(describeSchema(z.strictObject({ [name]: section })).length).toBeGreaterThan(0);
});
