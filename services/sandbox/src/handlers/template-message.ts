import { fromBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type SandboxTemplate, SandboxTemplateSchema } from "@sandgate/api/sandbox";
import type { TemplateRecord } from "../store/template-store.ts";

/** A template as the contract has it. */
export function toTemplateMessage(record: TemplateRecord): SandboxTemplate {
  return {
    ...fromBinary(SandboxTemplateSchema, record.content),
    name: record.name,
    creatorUserId: record.creatorUserId,
    createTime: timestampFromMs(record.createTimeMs),
  };
}
