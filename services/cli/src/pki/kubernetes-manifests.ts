import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { DevelopmentPki } from "@sandgate/pki/authority";

/** What Auth's key directory holds, as a Secret has it. */
const keyFiles = ["signing.pem", "public.pem", "kid", "egress-signing.pem", "sealing.key"] as const;

/**
 * Manifests, as one List in JSON, of what a release's pods are given: a TLS Secret for each service, the sandbox authority and the key
 * directory for Auth alone, and the public authorities. The keys of the service and the operator authority are in none: they stay where
 * certificates are issued.
 */
export function kubernetesManifests(options: {
  readonly release: string;
  readonly pki: DevelopmentPki;
  readonly keyDirectory: string;
}): string {
  const { release, pki, keyDirectory } = options;
  const named = (name: string) => ({
    metadata: { name: `${release}-${name}`, labels: { "app.kubernetes.io/instance": release } },
  });
  const secret = (name: string, type: string, files: Readonly<Record<string, string>>) => ({
    apiVersion: "v1",
    kind: "Secret",
    ...named(name),
    type,
    data: Object.fromEntries(Object.entries(files).map(([key, file]) => [key, readFileSync(file).toString("base64")])),
  });
  const items = [
    {
      apiVersion: "v1",
      kind: "ConfigMap",
      ...named("authorities"),
      data: Object.fromEntries(
        [pki.serviceAuthority, pki.sandboxAuthority, pki.operatorAuthority].map(({ certificateFile }, index) => [
          `${["service", "sandbox", "operator"][index]}-ca.pem`,
          readFileSync(certificateFile, "utf8"),
        ]),
      ),
    },
    ...Object.entries({ ...pki.services, "sandbox-ca": pki.sandboxAuthority }).map(([name, files]) =>
      secret(`${name}-tls`, "kubernetes.io/tls", { "tls.crt": files.certificateFile, "tls.key": files.keyFile }),
    ),
    secret("jwt-keys", "Opaque", Object.fromEntries(keyFiles.map((name) => [name, join(keyDirectory, name)]))),
  ];
  return `${JSON.stringify({ apiVersion: "v1", kind: "List", items }, null, 2)}\n`;
}
