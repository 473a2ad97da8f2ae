import { authorityFilePath, filePath } from "@sandgate/config";
import { foreignAlgorithms } from "@sandgate/identity";
import * as z from "zod";

/** Where the kubelet puts the credentials of a pod's own service account. */
const ownAccount = "/var/run/secrets/kubernetes.io/serviceaccount";

/** The least and the longest life of a projected token that the cluster's API and we take. */
const minTokenSeconds = 600;
const maxTokenSeconds = 86_400;

/** The section `kubernetes`: the cluster whose pods may enrol as sandboxes (G-05). */
export const kubernetesSection = z
  .strictObject({
    api_server: z
      .url({ protocol: /^https$/ })
      .default("https://kubernetes.default.svc")
      .describe("the cluster's API server"),
    ca_file: authorityFilePath()
      .prefault(`${ownAccount}/ca.crt`)
      .describe("authorities of its TLS certificate, PEM; read again when it changes"),
    token_file: filePath()
      .prefault(`${ownAccount}/token`)
      .describe("token of Auth's own service account; read for each call, since the kubelet rotates it"),
    namespace: z
      .string()
      .regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, "must be a namespace's name")
      .describe("the namespace of all sandboxes' pods; whoever may create or change pods there decides who is who"),
    issuer: z.url().max(255).describe("issuer of the cluster's service account tokens, to the letter of their `iss`"),
    audience: z
      .string()
      .min(1)
      .max(255)
      .default("sandgate/enrol")
      .describe("audience of the projected tokens; they must have no other"),
    verification: z
      .enum(["jwks", "token_review"])
      .default("jwks")
      .describe(
        "jwks: by the cluster's published keys; token_review: by asking the API server about each, which needs the right to create tokenreviews",
      ),
    algorithms: z
      .array(z.enum(foreignAlgorithms))
      .min(1)
      .default(["RS256"])
      .describe("what the cluster signs with; in jwks verification a token with any other is refused"),
    sa_token_ttl_secs: z
      .int()
      .default(3_600)
      .transform((seconds) => Math.min(Math.max(seconds, minTokenSeconds), maxTokenSeconds))
      .describe(
        "`expirationSeconds` of the projected tokens; one that lives longer is refused. Taken as 600 below it, as 86400 above",
      ),
    owner: z
      .strictObject({
        api_version: z.string().min(1).max(255).describe("apiVersion of the object that owns sandboxes' pods"),
        kind: z.string().min(1).max(63).describe("its kind"),
        uid: z.string().min(1).max(63).optional().describe("its uid, where it is one object; absent: any of the kind"),
      })
      .describe("the one owner reference that a sandbox's pod must have"),
  })
  .describe("the cluster whose pods enrol as sandboxes by their projected service account tokens; absent: none");

/** The section, checked. */
export type KubernetesSettings = z.output<typeof kubernetesSection>;
