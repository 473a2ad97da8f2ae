import { absolutePath, sections, usableOidcProviders } from "@sandgate/config";
import * as z from "zod";

/** The settings of Policy that are the same in a program of its own and in the all-in-one. */
export const policySettings = {
  decision_retention_days: z.int().min(1).max(3650).default(7).describe("how long decisions are kept, in days"),
  provider_key_file: absolutePath()
    .optional()
    .describe(
      "keys that the secrets of providers are sealed with, one on a line, the newest first; the same file for every replica. It is made where it is missing and nothing is sealed yet. Without it there are no providers",
    ),
} as const;

/** Configuration of the Policy program. */
export const policyConfig = z
  .strictObject({
    mode: sections.mode,
    trust_domain: sections.trustDomain,
    log: sections.log,
    admin: sections.admin,
    tls: sections.tls,
    listeners: sections.serviceListeners,
    database: sections.database,
    directories: sections.controlDirectory,
    oidc: sections.oidc,
    clients: z.strictObject({ auth: sections.clients.auth }).describe("other services"),
    ...policySettings,
  })
  .check(usableOidcProviders());
