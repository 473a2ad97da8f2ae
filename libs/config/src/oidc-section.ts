import * as z from "zod";
import { authorityFilePath } from "./certificate-files.ts";

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

const words = (description: string) => z.array(z.string().min(1).max(255)).max(100).describe(description);

const claimPath = (description: string) =>
  z
    .string()
    .max(255)
    .regex(/^(\\.|[^.\\])+(\.(\\.|[^.\\])+)*$/, "must be names with dots between them; a dot in a name is written \\.")
    .describe(description);

const organization = z
  .strictObject({
    id: z.string().regex(uuid, "must be a lower-case UUID").optional().describe("the organization of all its users"),
    name: z.string().min(1).max(100).optional().describe("that organization's name"),
    claim: claimPath("path of the claim that holds the organization's id, a UUID; instead of id and name").optional(),
  })
  .transform((section, context) => {
    const { id, name, claim } = section;
    if (claim !== undefined && id === undefined && name === undefined) return { claim };
    if (claim === undefined && id !== undefined && name !== undefined) return { id, name };
    context.addIssue({ code: "custom", message: "needs either id and name, or claim" });
    return z.NEVER;
  })
  .describe("which organization its users belong to");

const roles = z
  .strictObject({
    claim: claimPath("path of the claim that holds a user's roles, one or a list").default("roles"),
    admin: words("roles of the provider that make an admin").default([]),
    operator: words("roles of the provider that make an operator").default([]),
  })
  .prefault({})
  .describe("what users may do; who has none of these roles is a viewer");

const login = z
  .strictObject({
    client_id: z.string().min(1).max(255).describe("the public client that the command line is, at the provider"),
    scopes: z
      .array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, "must be a scope: printable, without spaces"))
      .default(["openid", "offline_access"])
      .describe("what it asks for; offline_access brings the refresh token that spares the user a login an hour"),
    resource: z
      .url({ protocol: /^(https?|urn)$/ })
      .optional()
      .describe("the resource indicator (RFC 8707) that it asks an access token for, where the provider wants one"),
    token: z
      .enum(["access_token", "id_token"])
      .default("access_token")
      .describe("which token it presents: the one that is a JWT with the audience above"),
  })
  .optional()
  .describe("what `sandgate login --oidc` needs to know; absent: users bring their tokens themselves");

/** The section `oidc`: OpenID providers whose users are ours. */
export const oidcProviders = z
  .array(
    z.strictObject({
      name: z
        .string()
        .regex(/^[a-z][a-z0-9_]{0,31}$/, "must be 1 to 32 of a-z, 0-9 and _, beginning with a letter")
        .describe("what we call the provider: in readiness checks and logs"),
      issuer: z
        .string()
        .max(255)
        .superRefine((issuer, context) => {
          const message = issuerFault(issuer);
          if (message !== undefined) context.addIssue({ code: "custom", message });
        })
        .describe("its issuer identifier, an https URL to the letter of `iss`; http for loopback in development mode"),
      audiences: words("a token must name one of them in `aud`").min(1),
      algorithms: z
        .array(z.enum(["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]))
        .min(1)
        .default(["RS256"])
        .describe("what it signs with; a token with any other is refused"),
      ca_file: authorityFilePath().optional().describe("authorities of its TLS certificate, PEM; else the machine's"),
      organization,
      roles,
      required_scopes: words("a token must have all of them in `scope` or `scp`").default([]),
      login,
    }),
  )
  .max(10)
  .default([])
  .describe("OpenID providers whose users are ours; every program that users call names the same ones");

/**
 * The check of a configuration with an `oidc` section: http only for loopback addresses and in development mode, no provider twice, and
 * none that is this suite itself. It also looks at configurations that have other faults.
 */
export function usableOidcProviders() {
  return z.superRefine<unknown>(
    (config, context) => {
      const { data } = withProviders.safeParse(config);
      const seen = new Set<string>();
      for (const [index, { name, issuer }] of data?.oidc.entries() ?? []) {
        const fault = (field: string, message: string): void =>
          context.addIssue({ code: "custom", path: ["oidc", index, field], message });
        if (issuer === `https://auth.${data?.trust_domain}`)
          fault("issuer", "is this suite itself: what it mints for others is no credential here");
        if (issuer.startsWith("http:") && issuerFault(issuer) === undefined && data?.mode !== "development")
          fault("issuer", "must be https unless mode is development");
        for (const [field, value] of [
          ["name", `name ${name}`],
          ["issuer", `issuer ${issuer}`],
        ] as const) {
          if (seen.has(value)) fault(field, "is named twice");
          seen.add(value);
        }
      }
    },
    { when: () => true },
  );
}

const withProviders = z.object({
  mode: z.unknown(),
  trust_domain: z.unknown(),
  oidc: z.array(z.object({ name: z.string(), issuer: z.string() })),
});

function issuerFault(issuer: string): string | undefined {
  if (!URL.canParse(issuer)) return "must be an https URL";
  const { protocol, hostname, username, password, search, hash } = new URL(issuer);
  if (username !== "" || password !== "" || search !== "" || hash !== "" || /[?#\s]/.test(issuer))
    return "must have no user, query or fragment";
  const isLoopback = /^(127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname);
  return protocol === "https:" || (protocol === "http:" && isLoopback)
    ? undefined
    : "must be an https URL; http only for 127.0.0.1 or [::1]";
}
