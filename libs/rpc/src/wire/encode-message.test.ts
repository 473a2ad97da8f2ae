import { create, type DescField, type DescMessage, ScalarType, toBinary } from "@bufbuild/protobuf";
import { AuditEventSchema } from "@sandgate/api/audit";
import { AuthService, SandboxSubjectSchema, WatchTrustResponseSchema } from "@sandgate/api/auth";
import { PolicyService } from "@sandgate/api/policy";
import { CreateSandboxRequestSchema, SandboxService } from "@sandgate/api/sandbox";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeMessage } from "./encode-message.ts";

const methods = [AuthService, SandboxService, PolicyService].flatMap((service) => service.methods);
const schemas = new Map(
  [...methods.flatMap(({ input, output }) => [input, output]), AuditEventSchema].map((schema) => [
    schema.typeName,
    schema,
  ]),
);

it.each([...schemas])("%s: the same bytes as toBinary", (_name, schema) => {
  fc.assert(
    fc.property(messages(schema, 3), (init) => {
      const message = create(schema, init);
      expect(encodeMessage(schema, message)).toEqual(Buffer.from(toBinary(schema, message)));
    }),
    { numRuns: 50 },
  );
});

describe("the same bytes as toBinary", () => {
  it.each([
    ["a length of two bytes", { spec: { command: ["x".repeat(127), "y".repeat(128)] } }],
    ["a length of three bytes", { spec: { command: ["é".repeat(20_000)] } }],
    ["a message larger than the first buffer", { spec: { command: ["z".repeat(1_000_000)] } }],
    ["half a surrogate pair", { spec: { command: ["\ud800", "a\udc00b", "\u{1f600}"] } }],
    ["a map", { spec: { environment: { A: "1", "": "", é: "x".repeat(300) } } }],
  ])("%s", (_what, init) => {
    const message = create(CreateSandboxRequestSchema, init);
    expect(encodeMessage(CreateSandboxRequestSchema, message)).toEqual(
      Buffer.from(toBinary(CreateSandboxRequestSchema, message)),
    );
  });

  it("fields that this release does not know", () => {
    const message = create(SandboxSubjectSchema, { sandboxId: "sbx-a" });
    message.$unknown = [{ no: 4_000, wireType: 2, data: new Uint8Array([2, 7, 7]) }];
    expect(encodeMessage(SandboxSubjectSchema, message)).toEqual(Buffer.from(toBinary(SandboxSubjectSchema, message)));
  });
});

describe("refuses what a field cannot hold, and goes on with the next message", () => {
  it.each([
    ["a number for a text", { sandboxId: 7 }],
    ["an integer beyond 64 bits", { incarnation: 1n << 63n }],
    ["a number for an integer of 64 bits", { incarnation: 1 }],
    ["nothing", { name: null }],
  ])("%s", (_what, wrong) => {
    const message = Object.assign(create(SandboxSubjectSchema, { sandboxId: "sbx-a" }), wrong);
    expect(() => encodeMessage(SandboxSubjectSchema, message)).toThrow(TypeError);
    const good = create(SandboxSubjectSchema, { sandboxId: "sbx-b" });
    expect(encodeMessage(SandboxSubjectSchema, good)).toEqual(Buffer.from(toBinary(SandboxSubjectSchema, good)));
  });

  it("a message of another type", () => {
    const message = create(WatchTrustResponseSchema);
    Object.assign(message, { change: { case: "sandbox", value: create(AuditEventSchema) } });
    expect(() => encodeMessage(WatchTrustResponseSchema, message)).toThrow(TypeError);
  });
});

/** Initializers of a message, with any values in any of its fields. */
function messages(schema: DescMessage, depth: number): fc.Arbitrary<Record<string, unknown>> {
  const members = schema.members.flatMap((member): [string, fc.Arbitrary<unknown>][] => {
    if (member.kind === "field") {
      const values = fieldValues(member, depth);
      return values === undefined ? [] : [[member.localName, values]];
    }
    const cases = member.fields.flatMap((field) => {
      const values = fieldValues(field, depth);
      return values === undefined ? [] : [values.map((value) => ({ case: field.localName, value }))];
    });
    return cases.length === 0 ? [] : [[member.localName, fc.oneof(...cases)]];
  });
  return fc.record(Object.fromEntries(members), { requiredKeys: [] });
}

function fieldValues(field: DescField, depth: number): fc.Arbitrary<unknown> | undefined {
  if (field.message !== undefined && depth === 0) return undefined;
  const single = field.message === undefined ? scalars(field) : messages(field.message, depth - 1);
  switch (field.fieldKind) {
    case "list":
      return fc.array(single, { maxLength: 4 });
    case "map":
      return fc.dictionary(texts, single, { maxKeys: 3 });
    default:
      return single;
  }
}

const texts = fc.oneof(fc.string(), fc.string({ unit: "binary" }), fc.string({ minLength: 120, maxLength: 140 }));

function scalars({ scalar }: DescField): fc.Arbitrary<unknown> {
  switch (scalar) {
    case undefined: // an enum: open, any number will do
    case ScalarType.INT32:
      return fc.integer();
    case ScalarType.STRING:
      return texts;
    case ScalarType.BYTES:
      return fc.uint8Array();
    case ScalarType.BOOL:
      return fc.boolean();
    case ScalarType.UINT32:
      return fc.nat({ max: 0xffff_ffff });
    case ScalarType.INT64:
      return fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n });
    case ScalarType.UINT64:
      return fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
    case ScalarType.DOUBLE:
      return fc.double();
    default:
      throw new TypeError(`no values for scalar ${scalar}`);
  }
}
