import { basename, dirname, join } from "node:path";
import { absolutePath, filePath, sections, usableOidcProviders } from "@sandgate/config";
import * as z from "zod";

const quota = (usual: { readonly sandboxes?: number; readonly running_sandboxes?: number } = {}) => {
  const limit = (most: number, normal?: number) => {
    const number = z.int().min(0).max(most);
    return normal === undefined ? number.optional() : number.default(normal);
  };
  return {
    sandboxes: limit(1_000_000, usual.sandboxes).describe("that are not deleted, stopped ones, too"),
    running_sandboxes: limit(1_000_000, usual.running_sandboxes).describe("that are not stopped or over"),
    memory_bytes: limit(Number.MAX_SAFE_INTEGER).describe("the sum of the running ones' limits of memory"),
    processes: limit(1_000_000_000).describe("the sum of the running ones' limits of processes"),
  };
};

/** What every driver's supervisors are made of. */
const supervisorFiles = {
  node_file: filePath().describe("the Node executable that supervisors run on"),
  supervisor_file: filePath().describe("the supervisor's bundle"),
  terminal_file: filePath().describe("the terminal's native module, pty.node"),
} as const;

const egressUid = () =>
  z.int().min(1).max(0xffff_fffe).optional().describe("as root: the uid that the egress proxy runs as");

const localDriver = z
  .strictObject({
    ...supervisorFiles,
    first_uid: z.int().min(1_000).max(2_000_000_000).default(200_000).describe("as root: first uid of sandboxes"),
    uid_count: z.int().min(1).max(1_000_000).default(65_536).describe("as root: how many uids follow it"),
    keep_spare: z
      .boolean()
      .default(true)
      .describe("keeps one sandbox set up in advance, about 40 MB, so that the next one starts faster"),
    egress_uid: egressUid(),
  })
  .describe("sandboxes on this machine, by bubblewrap");

const mebibyte = 1024 * 1024;

const dockerDriver = z
  .strictObject({
    ...supervisorFiles,
    socket: absolutePath().default("/var/run/docker.sock").describe("the engine's socket: who can write to it is root"),
    default_image: imageName().describe("the image of sandboxes that ask for none; it must be on the engine"),
    allowed_images: z
      .array(imageName())
      .default([])
      .describe("what else may be asked for: names of images, or beginnings of names with a * behind"),
    min_isolation: z
      .enum(["container", "gvisor"])
      .default("container")
      .describe(
        "gvisor: refuse to run sandboxes where the engine does not offer the runtime runsc, which is taken where it does",
      ),
    memory_bytes: z
      .int()
      .min(128 * mebibyte)
      .max(1024 * 1024 * mebibyte)
      .default(4096 * mebibyte)
      .describe(
        "memory of one sandbox, all its processes and what it keeps in memory together; there is no swap beside it",
      ),
    cpus: z.number().min(0.1).max(1024).default(2).describe("processors' worth of time of one sandbox"),
    temporary_bytes: z
      .int()
      .min(mebibyte)
      .max(1024 * 1024 * mebibyte)
      .default(1024 * mebibyte)
      .describe("size of /tmp, which is kept in memory"),
    workspace_bytes: z
      .int()
      .min(mebibyte)
      .max(1024 * 1024 * mebibyte)
      .optional()
      .describe(
        "size of /workspace, which is then kept in memory and lost when the sandbox stops; without it, it is on disk and unbounded",
      ),
    engine_timeout_ms: z
      .int()
      .min(1_000)
      .max(600_000)
      .default(20_000)
      .describe("how long the engine may take to answer"),
    egress_uid: egressUid(),
  })
  .describe("sandboxes as containers of a Docker-compatible engine; the service must run as root");

function imageName() {
  return z.string().regex(/^[a-z0-9][A-Za-z0-9._:/@*-]{0,511}$/, "must be the name of an image");
}

/** The settings of Sandbox that are the same in a program of its own and in the all-in-one. */
export const sandboxSettings = {
  state_directory: absolutePath().describe("holds what sandboxes keep: workspaces, logs, the driver's records"),
  sweep_interval_ms: z
    .int()
    .min(100)
    .max(600_000)
    .default(5_000)
    .describe("how often every sandbox is compared with what it should be"),
  quotas: z
    .strictObject({
      default: z
        .strictObject(quota({ sandboxes: 10_000, running_sandboxes: 1_000 }))
        .prefault({})
        .describe("of every organization; what is left out without a default has no limit"),
      organizations: z
        .record(z.uuid().toLowerCase(), z.strictObject(quota()))
        .default({})
        .describe("of single organizations, by id: what is named here takes the default's place"),
    })
    .prefault({})
    .describe("how much the sandboxes of one organization may have together"),
  driver: z
    .strictObject({ local: localDriver.optional(), docker: dockerDriver.optional() })
    .refine(({ local, docker }) => (local === undefined) !== (docker === undefined), "must be one of local and docker")
    .describe("what sandboxes run on: one of local and docker"),
} as const;

/** The directories of the sandboxes' sockets: `control` and `egress` below one runtime directory. */
export const runtimeDirectories = sections.directories.superRefine(({ control, egress }, context) => {
  if (basename(control) === "control" && egress === join(dirname(control), "egress")) return;
  context.addIssue({ code: "custom", message: "must be /x/control and /x/egress, for one and the same /x" });
});

/** Configuration of the Sandbox program. */
export const sandboxConfig = z
  .strictObject({
    mode: sections.mode,
    trust_domain: sections.trustDomain,
    log: sections.log,
    admin: sections.admin,
    tls: sections.tls,
    listeners: sections.serviceListeners,
    database: sections.database,
    oidc: sections.oidc,
    clients: z
      .strictObject({ auth: sections.clients.auth, policy: sections.clients.policy })
      .describe("other services"),
    directories: runtimeDirectories,
    ...sandboxSettings,
  })
  .check(usableOidcProviders());
