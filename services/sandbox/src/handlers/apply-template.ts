import { clone, create, type DescMessage } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import {
  type CreateSandboxRequest,
  CreateSandboxRequestSchema,
  SandboxSpecSchema,
  type SandboxTemplate,
} from "@sandgate/api/sandbox";

/** A request to create a sandbox with what its template says where it says nothing itself. Neither is changed. */
export function applyTemplate(template: SandboxTemplate, request: CreateSandboxRequest): CreateSandboxRequest {
  const spec = clone(SandboxSpecSchema, template.spec ?? create(SandboxSpecSchema));
  if (request.spec !== undefined)
    overlay(reflect(SandboxSpecSchema, spec), reflect(SandboxSpecSchema, clone(SandboxSpecSchema, request.spec)));
  const policy = request.policy ?? template.policy;
  return create(CreateSandboxRequestSchema, {
    requestId: request.requestId,
    name: request.name,
    template: request.template,
    labels: { ...template.labels, ...request.labels },
    spec,
    ...(policy !== undefined && { policy }),
  });
}

/** Puts every field that is set in `over` into `under`; messages of fields of their own and maps are put together, durations are values. */
function overlay(under: ReflectMessage, over: ReflectMessage): void {
  for (const field of over.fields) {
    if (!over.isSet(field)) continue;
    if (field.fieldKind === "map") {
      const entries = under.get(field);
      for (const [key, value] of over.get(field)) entries.set(key, value);
    } else if (field.fieldKind === "message" && isCompound(field.message) && under.isSet(field))
      overlay(under.get(field), over.get(field));
    else if (field.fieldKind === "list") {
      under.clear(field);
      const items = under.get(field);
      for (const item of over.get(field)) items.add(item);
    } else under.set(field, over.get(field));
  }
}

function isCompound(message: DescMessage): boolean {
  return message.typeName !== DurationSchema.typeName;
}
