import { authSettings, localOperatorBehindLocalAddresses, usersCanBeAuthenticated } from "@sandgate/auth";
import { sections, usableOidcProviders } from "@sandgate/config";
import { policySettings } from "@sandgate/policy-service";
import { runtimeDirectories, sandboxSettings } from "@sandgate/sandbox";
import * as z from "zod";

/** Configuration of the control plane in one process. */
export const allInOneConfig = z
  .strictObject({
    mode: sections.mode,
    trust_domain: sections.trustDomain,
    log: sections.log,
    admin: sections.admin,
    tls: sections.tls,
    listeners: sections.listeners,
    web: sections.web.optional(),
    database: sections.database,
    directories: runtimeDirectories,
    ...authSettings,
    ...sandboxSettings,
    ...policySettings,
  })
  .check(usersCanBeAuthenticated(), localOperatorBehindLocalAddresses(), usableOidcProviders());
