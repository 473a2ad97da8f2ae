import { durationMs } from "@bufbuild/protobuf/wkt";
import { IdleAction, type SandboxTemplate } from "@sandgate/api/sandbox";
import { formatAuthoredPolicy } from "@sandgate/policy";
import { stringify } from "yaml";
import { escapeLine } from "./escape-control.ts";
import type { Output } from "./output.ts";
import { formatDuration, formatSize } from "./quantities.ts";

/** Prints a template for people. */
export function printTemplate(output: Output, template: SandboxTemplate): void {
  const field = (name: string, value: string) => output.line(`${output.colors.dim(name.padEnd(14))}${value}`);
  const { spec, labels } = template;
  output.line(output.colors.bold(escapeLine(template.name)));
  const pairs = (of: Readonly<Record<string, string>>) =>
    Object.entries(of)
      .map(([key, value]) => escapeLine(`${key}=${value}`))
      .sort()
      .join(", ");
  if (Object.keys(labels).length > 0) field("labels", pairs(labels));
  if (spec !== undefined) {
    if (spec.command.length > 0) field("command", escapeLine(spec.command.join(" ")));
    if (Object.keys(spec.environment).length > 0) field("environment", pairs(spec.environment));
    const { processMemoryBytes = 0n, processes = 0, openFiles = 0, fileSizeBytes = 0n } = spec.limits ?? {};
    const limits = [
      processMemoryBytes > 0n ? `memory ${formatSize(Number(processMemoryBytes))}` : "",
      processes > 0 ? `processes ${processes}` : "",
      openFiles > 0 ? `open files ${openFiles}` : "",
      fileSizeBytes > 0n ? `file size ${formatSize(Number(fileSizeBytes))}` : "",
    ].filter((limit) => limit !== "");
    if (limits.length > 0) field("limits", limits.join(", "));
    if (spec.ttl !== undefined) field("ttl", formatDuration(durationMs(spec.ttl)));
    if (spec.idleTimeout !== undefined)
      field(
        "when idle",
        `${spec.idleAction === IdleAction.DELETE ? "deleted" : "stopped"} after ${formatDuration(durationMs(spec.idleTimeout))}`,
      );
  }
  output.line(stringify(formatAuthoredPolicy(template.policy ?? { rules: [] })).trimEnd());
}
