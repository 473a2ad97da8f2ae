import { sections } from "@sandgate/config";
import * as z from "zod";

const service = (name: string) =>
  z
    .strictObject({
      address: sections
        .serviceAddress()
        .describe(`where ${name}'s gateway listener is; of several replicas a list of IP addresses with ports`),
    })
    .describe(`the way to ${name}`);

/** Configuration of the web gateway. */
export const gatewayConfig = z.strictObject({
  mode: sections.mode,
  trust_domain: sections.trustDomain,
  log: sections.log,
  admin: sections.admin,
  tls: sections.tls,
  web: sections.web,
  clients: z
    .strictObject({ auth: service("Auth"), sandbox: service("Sandbox"), policy: service("Policy") })
    .describe("the services that it relays to"),
});
