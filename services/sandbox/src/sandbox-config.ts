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
    .strictObject({
      local: z
        .strictObject({
          node_file: filePath().describe("the Node executable that supervisors run on"),
          supervisor_file: filePath().describe("the supervisor's bundle"),
          terminal_file: filePath().describe("the terminal's native module, pty.node"),
          first_uid: z.int().min(1_000).max(2_000_000_000).default(200_000).describe("as root: first uid of sandboxes"),
          uid_count: z.int().min(1).max(1_000_000).default(65_536).describe("as root: how many uids follow it"),
          keep_spare: z
            .boolean()
            .default(true)
            .describe("keeps one sandbox set up in advance, about 40 MB, so that the next one starts faster"),
          egress_uid: z
            .int()
            .min(1)
            .max(0xffff_fffe)
            .optional()
            .describe("as root: the uid that the egress proxy runs as"),
        })
        .describe("sandboxes on this machine, by bubblewrap"),
    })
    .describe("what sandboxes run on"),
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
