import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createDevelopmentPki } from "@sandgate/pki/authority";
import { exportJWK, generateKeyPair } from "jose";
import { expect, it, onTestFinished } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { EnvelopeProgram } from "./envelope-program.ts";
import { TestNetwork } from "./test-network.ts";

const root = join(import.meta.dirname, "../..");
const dockerfile = readFileSync(join(root, "deploy/docker/envelope.Dockerfile"), "utf8");

interface Container {
  readonly name: string;
  readonly image: string;
  readonly args?: readonly string[];
  readonly restartPolicy?: string;
  readonly securityContext: {
    readonly capabilities: { readonly drop: readonly string[]; readonly add?: readonly string[] };
  };
  readonly startupProbe?: { readonly exec: { readonly command: readonly string[] } };
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
}

interface Manifest {
  readonly kind: string;
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: {
    readonly initContainers: readonly Container[];
    readonly containers: readonly Container[];
    readonly volumes: readonly { readonly name: string }[];
  };
}

const manifests = parseAllDocuments(readFileSync(join(root, "deploy/kubernetes/envelope-sidecar.yaml"), "utf8")).map(
  (document) => {
    if (document.errors[0] !== undefined) throw document.errors[0];
    return document.toJS() as Manifest; // what it must hold is tested below
  },
);
const pod = manifests.find(({ kind }) => kind === "Pod")?.spec;
const sidecar = pod?.initContainers[0];

it("the image has what the program needs, from files that a build leaves", () => {
  const copied = [...dockerfile.matchAll(/^COPY (\S+) (\S+)$/gm)].map(([, from = "", to = ""]) => ({ from, to }));
  expect(
    copied
      .map(({ from }) => from)
      .filter((from) => !existsSync(join(root, from.replace(/\$\{NODE_ARCH\}/, process.arch)))),
  ).toEqual([]);
  expect(dockerfile).toContain(`ENTRYPOINT ${JSON.stringify(copied.map(({ to }) => to)).replace(",", ", ")}`);
  const packages = /apt-get install .*--no-install-recommends (.*) \\/.exec(dockerfile)?.[1]?.split(" ");
  expect(packages).toEqual(expect.arrayContaining(["nftables", "iptables", "ipset"]));
});

it("the side-car has NET_ADMIN and nothing else, and the service beside it has nothing", () => {
  expect(sidecar).toMatchObject({
    restartPolicy: "Always",
    image: "sandgate-envelope:0.1.0",
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"], add: ["NET_ADMIN"] },
    },
  });
  for (const { securityContext } of pod?.containers ?? []) {
    expect(securityContext.capabilities).toEqual({ drop: ["ALL"] });
    expect(securityContext).toMatchObject({ allowPrivilegeEscalation: false, runAsNonRoot: true });
  }
  expect(sidecar?.volumeMounts?.map(({ name }) => name).toSorted()).toEqual(
    pod?.volumes.map(({ name }) => name).toSorted(),
  );
});

it("the side-car's configuration runs as it stands, with its one capability, and its probe passes", async () => {
  const network = await TestNetwork.create();
  const directory = mkdtempSync(join(tmpdir(), "envelope-deploy-"));
  onTestFinished(async () => {
    await network.remove();
    rmSync(directory, { recursive: true });
  });
  const pki = await createDevelopmentPki({
    directory: join(directory, "pki"),
    trustDomain: "sandgate.test",
    operatorUserId: "0b8f8c0e-1111-4222-8333-444455556666",
  });
  copyFileSync(pki.services.auth.certificateFile, join(directory, "tls.crt"));
  copyFileSync(pki.services.auth.keyFile, join(directory, "tls.key"));
  const { publicKey } = await generateKeyPair("EdDSA", { crv: "Ed25519", extractable: true });
  writeFileSync(join(directory, "issuer.json"), JSON.stringify({ ...(await exportJWK(publicKey)), kid: "1" }));
  const [file = ""] = (sidecar?.args ?? []).slice(-1);
  const text = manifests.find(({ kind }) => kind === "ConfigMap")?.data?.[file.split("/").at(-1) ?? ""] ?? "";
  const config = parse(
    text
      .replaceAll("/etc/envelope-secret", directory)
      .replaceAll("/var/lib/sandgate-envelope", join(directory, "state")),
  ) as object; // the program judges it
  const program = await EnvelopeProgram.start(network.namespace("guarded"), directory, config, [
    "setpriv",
    "--no-new-privs",
    "--inh-caps=-all",
    "--bounding-set=-all,+net_admin",
  ]);
  const [node = "", ...probe] = sidecar?.startupProbe?.exec.command ?? [];
  expect(dockerfile).toContain(node);
  await network.run(process.execPath, ...probe);
  expect(await program.end("SIGTERM")).toBe(0);
  await expect(network.run(process.execPath, ...probe)).rejects.toThrow("Command failed");
});
