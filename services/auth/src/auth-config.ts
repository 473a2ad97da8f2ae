import { absolutePath, developmentOnly, filePath, secretFilePath, sections } from "@sandgate/config";
import * as z from "zod";
import type { OperatorRecord } from "./domain/operator-record.ts";

const uuid = () =>
  z.string().regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/, "must be a lower-case UUID");

/** The numbers that sandgate.options.v1.Role gives the roles. */
const roles = { viewer: 1, operator: 2, admin: 3 } as const;

/** A user whom the configuration names. */
export const operator = z.strictObject({
  id: uuid().describe("user id; the operator's certificate carries it"),
  name: z.string().min(1).max(100).describe("the user's name"),
  organization_id: uuid().describe("the organization that the user belongs to"),
  organization_name: z.string().min(1).max(100).describe("the organization's name"),
  role: z.enum(["viewer", "operator", "admin"]).default("viewer").describe("what the user may do in the organization"),
});

/** The settings of Auth that are the same in a program of its own and in the all-in-one. */
export const authSettings = {
  key_directory: absolutePath().describe("keys that tokens are signed with; made at the first start, closed to others"),
  sandbox_ca: z
    .strictObject({
      certificate_file: filePath().describe("authority that sandbox certificates are issued from, PEM"),
      key_file: secretFilePath().describe("private key of the authority, PEM; closed to other users"),
    })
    .describe("the authority of sandbox certificates; Auth alone has its key"),
  lives: z
    .strictObject({
      session_minutes: z.int().min(5).max(1_440).default(15).describe("life of a sandbox's session token"),
      certificate_minutes: z.int().min(5).max(60).default(60).describe("life of a sandbox's certificate"),
      egress_minutes: z.int().min(5).max(240).default(15).describe("life of an egress token"),
    })
    .prefault({})
    .describe("how long credentials live"),
  operators: z
    .array(operator)
    .default([])
    .superRefine((operators, context) => {
      const ids = new Set<string>();
      for (const [index, { id }] of operators.entries()) {
        if (ids.has(id)) context.addIssue({ code: "custom", path: [index, "id"], message: "is named twice" });
        ids.add(id);
      }
    })
    .describe("users with a certificate of the operator authority; a user who is no longer named is switched off"),
  jwks: z
    .strictObject({
      address: sections.address().describe("where the key set is served, with this program's certificate"),
    })
    .optional()
    .describe("HTTPS server of /.well-known/jwks.json and /.well-known/openid-configuration"),
  development: developmentOnly(
    z.strictObject({
      local_operator: z
        .boolean()
        .default(false)
        .describe("takes callers without a credential for the first operator; needs loopback or Unix socket addresses"),
    }),
  ).describe("settings that production refuses"),
} as const;

/** Configuration of the Auth program. */
export const authConfig = z
  .strictObject({
    mode: sections.mode,
    trust_domain: sections.trustDomain,
    log: sections.log,
    admin: sections.admin,
    tls: sections.tls,
    listeners: sections.listeners,
    database: sections.database,
    directories: sections.directories.pick({ control: true }),
    ...authSettings,
  })
  .superRefine((config, context) => {
    for (const fault of findAuthenticatorFaults(config)) context.addIssue({ code: "custom", ...fault });
  });

/**
 * What keeps users from being told apart (G-06): no operator at all, or a local operator whom the network could reach. Faults have
 * the path of the setting.
 */
export function findAuthenticatorFaults(config: {
  readonly operators: readonly unknown[];
  readonly development?: { readonly local_operator: boolean } | undefined;
  readonly listeners: { readonly edge: { readonly addresses: readonly string[] } };
}): readonly { path: (string | number)[]; message: string }[] {
  if (config.operators.length === 0)
    return [{ path: ["operators"], message: "no user could be authenticated: name at least one operator" }];
  if (config.development?.local_operator !== true) return [];
  return config.listeners.edge.addresses.flatMap((address, index) =>
    isLocalAddress(address)
      ? []
      : [
          {
            path: ["listeners", "edge", "addresses", index],
            message: "must be 127.0.0.1, [::1] or a Unix socket while development.local_operator is on",
          },
        ],
  );
}

/** The operators of a configuration, as the register keeps them. */
export function toOperatorRecords(operators: readonly z.infer<typeof operator>[]): readonly OperatorRecord[] {
  return operators.map((user) => ({
    userId: user.id,
    name: user.name,
    organizationId: user.organization_id,
    organizationName: user.organization_name,
    role: roles[user.role],
  }));
}

/** Only addresses, never names: what `localhost` means is the resolver's to say. */
function isLocalAddress(address: string): boolean {
  return /^(unix:|127\.\d+\.\d+\.\d+:|\[::1\]:)/.test(address);
}
