/**
 * Writes the reference pages of docs/ that follow from the contract and the configuration schemas: errors.md, rpc.md, configuration.md.
 * With --check it writes nothing and fails when a page is stale.
 */
import { execFileSync } from "node:child_process";
import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import {
  createFileRegistry,
  type DescEnum,
  type DescMethod,
  type DescService,
  type FileRegistry,
  fromBinary,
  getOption,
  hasOption,
} from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { getComments } from "@bufbuild/protoplugin";
import { access, error, ListenerSchema, PrincipalKindSchema, RoleSchema } from "@sandgate/api/options";
import { type ConfigRow, describeSchema } from "@sandgate/config";

const root = resolve(import.meta.dirname, "..");

/** The status codes of gRPC by number. */
const statusCodes =
  "OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED".split(
    " ",
  );

/** Reads proto/ with its comments, which generated code doesn't keep. */
function readContract(): FileRegistry {
  const image = execFileSync("buf", ["build", "--as-file-descriptor-set", "--output", "-"], { cwd: root });
  return createFileRegistry(fromBinary(FileDescriptorSetSchema, image));
}

function errorsPage(contract: FileRegistry): string {
  const reasons = contract.getEnum("sandgate.errors.v1.ErrorReason");
  if (reasons === undefined) throw new TypeError("the contract has no enum sandgate.errors.v1.ErrorReason");
  const lines = [
    "# Errors",
    "",
    "Every refused call carries a `google.rpc.ErrorInfo` whose `reason` stands in this table and whose `domain` is `sandgate.dev`.",
    "A reason never changes its meaning; messages may. Values, such as the name of a field, are in the error's metadata.",
  ];
  for (const value of reasons.values.filter((candidate) => hasOption(candidate, error))) {
    const section = sentence(getComments(value).leading);
    if (section !== "")
      lines.push("", `## ${section.replace(/\.$/, "")}`, "", ...tableHead("Reason", "Status", "What to do"));
    const { code, mend } = getOption(value, error);
    lines.push(row(`\`${value.localName}\``, `\`${statusCodes[code] ?? code}\``, mend));
  }
  return page(lines);
}

function rpcPage(contract: FileRegistry): string {
  const services = [...contract]
    .filter((type) => type.kind === "service")
    .filter(({ typeName }) => typeName.startsWith("sandgate."));
  const lines = [
    "# Methods",
    "",
    "Who may call what, and where. *Listeners*: `edge` takes users (server TLS), `mtls` takes services, enrolled sandboxes and operators with a",
    "certificate, `enrol` and `control` are the two sockets in a sandbox's own directory. A method does not exist on any other listener.",
    "*Principals* are those on whose behalf it may be called, with the least role of a user. *Sandbox* is the request field that names the sandbox:",
    "a sandbox may only name itself, and a user only one of the own organization. *Peers* are the services that may call it with their",
    "own certificate; those marked `→` may call for a principal that they verified.",
  ];
  for (const service of services) lines.push("", `## ${service.typeName}`, "", ...serviceSection(service));
  return page(lines);
}

function serviceSection(service: DescService): readonly string[] {
  return [
    paragraph(getComments(service).leading),
    "",
    ...tableHead("Method", "Listeners", "Principals", "Sandbox", "Peers", "What it does"),
    ...service.methods.map(methodRow),
  ];
}

function methodRow(method: DescMethod): string {
  const { listeners, principals, minimumRole, operatorCertificate, sandbox, peers } = getOption(method, access);
  const short = ({ values }: DescEnum, number: number) =>
    (values.find((value) => value.number === number)?.localName ?? String(number)).toLowerCase();
  const streams = {
    unary: "",
    server_streaming: " (stream out)",
    client_streaming: " (stream in)",
    bidi_streaming: " (both ways)",
  };
  return row(
    `\`${method.name}\`${streams[method.methodKind]}`,
    listeners.map((listener) => short(ListenerSchema, listener)).join(", "),
    principals
      .map((kind) => short(PrincipalKindSchema, kind))
      .map((kind) =>
        kind === "user"
          ? `user (${short(RoleSchema, minimumRole)}${operatorCertificate ? ", by certificate" : ""})`
          : kind,
      )
      .join(", "),
    typeof sandbox.value === "string" ? `\`${sandbox.value}\`` : "",
    peers.map(({ service, mayForward }) => (mayForward ? `${service} →` : service)).join(", "),
    paragraph(getComments(method).leading),
  );
}

/** A section for every program with a schema: the exports named …Config of its src/…-config.ts. */
async function configurationPage(): Promise<string> {
  const lines = [
    "# Configuration",
    "",
    "Each program reads one YAML or JSON file. All faults are reported at once, each with its path; an unknown key is a fault.",
    "Secrets are never values here: a field names the file that holds one. Where *Default* says `required` there is none; where it is empty the",
    "field may be left out.",
  ];
  for (const file of globSync("services/*/src/*-config.ts", { cwd: root }).sort()) {
    const exported = (await import(pathToFileURL(join(root, file)).href)) as Record<string, unknown>; // any module is that
    for (const [name, schema] of Object.entries(exported)) {
      if (!name.endsWith("Config") || !isSchema(schema)) continue;
      lines.push("", `## ${file.split("/")[1]}`, "", ...tableHead("Field", "Type", "Default", "What it is"));
      for (const { path, type, default: standard, description } of describeProgram(file, schema))
        lines.push(row(`\`${path}\``, type, isValue(standard) ? `\`${standard}\`` : standard, description));
    }
  }
  return page(lines);
}

function describeProgram(file: string, schema: Schema): readonly ConfigRow[] {
  try {
    return describeSchema(schema);
  } catch (cause) {
    throw new Error(`${file} cannot be described`, { cause });
  }
}

type Schema = Parameters<typeof describeSchema>[0];

const isSchema = (value: unknown): value is Schema => typeof value === "object" && value !== null && "_zod" in value;
const isValue = (standard: string) => standard !== "" && standard !== "required";
const tableHead = (...titles: readonly string[]) => [row(...titles), `|${titles.map(() => "---|").join("")}`];
const row = (...cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
const paragraph = (comment: string | undefined) => (comment ?? "").trim().replaceAll(/\s+/g, " ");
const sentence = (comment: string | undefined) => paragraph(comment).split(/(?<=\.)\s/)[0] ?? "";
const page = (lines: readonly string[]) => `<!-- Generated by \`npm run docs\`. -->\n\n${lines.join("\n")}\n`;

const contract = readContract();
const pages = {
  "docs/errors.md": errorsPage(contract),
  "docs/rpc.md": rpcPage(contract),
  "docs/configuration.md": await configurationPage(),
};
const stale = Object.entries(pages).filter(([path, text]) => {
  const file = join(root, path);
  return !existsSync(file) || readFileSync(file, "utf8") !== text;
});
if (process.argv.includes("--check")) {
  for (const [path] of stale) console.error(`${path} is stale: run npm run docs`);
  process.exitCode = stale.length > 0 ? 1 : 0;
} else {
  mkdirSync(join(root, "docs"), { recursive: true });
  for (const [path, text] of stale) writeFileSync(join(root, path), text);
}
