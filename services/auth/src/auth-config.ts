import { create } from "@bufbuild/protobuf";
import { type LoginProvider, LoginProviderSchema } from "@sandgate/api/auth";
import {
  absolutePath,
  authorityFilePath,
  developmentOnly,
  matchingKey,
  privateKeyFilePath,
  sections,
  usableOidcProviders,
} from "@sandgate/config";
import * as z from "zod";
import type { OperatorRecord } from "./domain/operator-record.ts";
import { kubernetesSection } from "./kubernetes/kubernetes-section.ts";

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
  key_directory: absolutePath().describe(
    "holds sealing.key, which the signing keys in the database are sealed with: the same for all replicas, closed to others, made at the first start",
  ),
  signing_keys: z
    .strictObject({
      rotation_days: z
        .int()
        .min(0)
        .max(3_650)
        .default(30)
        .describe("a new key signs after so many days; 0: only by hand"),
      publish_seconds: z
        .int()
        .min(1)
        .max(86_400)
        .default(600)
        .describe(
          "a key is published at least so long before it signs: longer than anyone who verifies keeps the key set",
        ),
    })
    .prefault({})
    .describe("how the keys change that tokens are signed with"),
  sandbox_ca: z
    .strictObject({
      certificate_file: authorityFilePath().describe(
        "authority that sandbox certificates are issued from, PEM; of a bundle, the one with the key; read again when it changes",
      ),
      key_file: privateKeyFilePath().describe("private key of the authority, PEM; closed to other users"),
    })
    .check(matchingKey({ ofBundle: true }))
    .describe("the authority of sandbox certificates; Auth alone has its key"),
  lives: z
    .strictObject({
      session_minutes: z.int().min(5).max(1_440).default(15).describe("life of a sandbox's session token"),
      certificate_minutes: z.int().min(5).max(60).default(60).describe("life of a sandbox's certificate"),
      egress_minutes: z
        .int()
        .min(5)
        .max(240)
        .default(15)
        .describe("life of a container token, unless a user asks for another"),
    })
    .prefault({})
    .describe("how long credentials live"),
  workload_tokens: z
    .strictObject({
      algorithm: z
        .enum(["ES256", "RS256"])
        .default("ES256")
        .describe("how they are signed; RS256 for relying parties that know nothing else"),
      life_seconds: z.int().min(60).max(300).default(300).describe("how long they live"),
    })
    .prefault({})
    .describe("tokens with which workloads prove themselves to third parties, where policy grants an audience"),
  container_token_audiences: z
    .array(
      z
        .string()
        .regex(/^[a-z0-9](?:[a-z0-9._:/-]{0,126}[a-z0-9])?$/, "must be lower-case letters, digits and . _ : / -")
        .refine((audience) => !/^(sandgate|enclave)\b/.test(audience), "is kept for tokens of another kind"),
    )
    .max(100)
    .default(["sandbox-api"])
    .describe("relying parties, besides the egress proxy, that users may mint container tokens for"),
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
  users: z
    .strictObject({
      session_days: z
        .int()
        .min(1)
        .max(90)
        .default(7)
        .describe("how long a login lasts before the password is asked again"),
      sign_up: z
        .enum(["invitation", "open"])
        .default("invitation")
        .describe("invitation: accounts are made by invitation; open: anybody may make an organization of their own"),
      invitation_days: z.int().min(1).max(30).default(7).describe("how long an invitation can be accepted"),
    })
    .prefault({})
    .describe("accounts with a password"),
  oidc: sections.oidc,
  kubernetes: kubernetesSection.optional(),
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
      unenforced_container_tokens: z
        .boolean()
        .default(false)
        .describe("lets users mint container tokens whose binding, gateway or central egress is not enforced"),
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
    listeners: sections.serviceListeners,
    database: sections.database,
    directories: sections.controlDirectory,
    ...authSettings,
  })
  .check(usersCanBeAuthenticated(), localOperatorBehindLocalAddresses(), usableOidcProviders());

/** The check of a configuration that there is a way for a user to be known (G-06). It also looks at those that have other faults. */
export function usersCanBeAuthenticated() {
  return z.superRefine<unknown>(
    (config, context) => {
      if (nobody.safeParse(config).success)
        context.addIssue({
          code: "custom",
          path: ["operators"],
          message: "no user could be authenticated: name at least one operator, or a provider in oidc",
        });
    },
    { when: () => true },
  );
}

const nobody = z.object({
  operators: z.array(z.unknown()).max(0).default([]),
  oidc: z.array(z.unknown()).max(0).default([]),
});

/**
 * The check of a configuration that a local operator is not within the network's reach (G-06). It also looks at configurations
 * that have other faults.
 */
export function localOperatorBehindLocalAddresses() {
  return z.superRefine<unknown>(
    (config, context) => {
      const { data } = withLocalOperator.safeParse(config);
      for (const [index, address] of data?.listeners.edge.addresses.entries() ?? [])
        if (!isLocalAddress(address))
          context.addIssue({
            code: "custom",
            path: ["listeners", "edge", "addresses", index],
            message: "must be 127.0.0.1, [::1] or a Unix socket while development.local_operator is on",
          });
    },
    { when: () => true },
  );
}

const withLocalOperator = z.object({
  development: z.object({ local_operator: z.literal(true) }),
  listeners: z.object({ edge: z.object({ addresses: z.array(z.string()) }) }),
});

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

/** The providers of a configuration that say how a command line logs in. */
export function toLoginProviders(providers: z.output<typeof sections.oidc>): readonly LoginProvider[] {
  return providers.flatMap(({ name, issuer, login }) =>
    login === undefined
      ? []
      : create(LoginProviderSchema, {
          name,
          issuer,
          clientId: login.client_id,
          scopes: login.scopes,
          resource: login.resource ?? "",
          usesIdToken: login.token === "id_token",
        }),
  );
}

/** Only addresses, never names: what `localhost` means is the resolver's to say. */
function isLocalAddress(address: string): boolean {
  return /^(unix:|127\.\d+\.\d+\.\d+:|\[::1\]:)/.test(address);
}
