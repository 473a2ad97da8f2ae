import { generateKeyPairSync, type KeyObject, randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { createKeyPair } from "@sandgate/pki";
import { createCertificateAuthority, loadCertificateAuthority } from "@sandgate/pki/authority";
import { jwtVerify, SignJWT } from "jose";

/** A pod as the API shows it. */
export interface TestPod {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly serviceAccount: string;
  /** What the API answers for it. */
  readonly object: Record<string, unknown>;
}

/** What a caller of the API may do. */
export type KubernetesRight = "pods" | "tokenreviews" | "discovery";

/**
 * The API server of a cluster, as much of it as Auth meets: over TLS with an authority of its own, for the bearer of one service account,
 * who may do what RBAC would let it, in one namespace.
 */
export interface KubernetesApi {
  readonly url: string;
  readonly issuer: string;
  readonly audience: string;
  readonly namespace: string;
  readonly caFile: string;
  readonly tokenFile: string;
  /** The section `kubernetes` of a configuration that uses it. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Method and path of each request, in their order. */
  readonly asked: string[];
  readonly rights: Set<KubernetesRight>;
  /** Answers a request in its own way; default: answers none. */
  answer: (request: IncomingMessage, response: ServerResponse) => boolean;
  /** Makes a pod of a sandbox, or puts another in the place of one of the same name. */
  putPod(of: {
    readonly name: string;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly namespace?: string;
    readonly metadata?: Readonly<Record<string, unknown>>;
    readonly spec?: Readonly<Record<string, unknown>>;
    readonly status?: Readonly<Record<string, unknown>>;
  }): TestPod;
  removePod(pod: TestPod): void;
  /** A token that the kubelet would project into the pod; `undefined` takes a claim out. */
  podToken(
    pod: TestPod,
    claims?: Readonly<Record<string, unknown>>,
    sign?: { readonly header?: Readonly<Record<string, unknown>>; readonly key?: KeyObject },
  ): Promise<string>;
  /** Signs with a new key from now on; the old one stays in the key set, or goes. */
  rollOver(options: { readonly keepOld: boolean }): void;
  /** Gives the service account another token; the old one is refused. */
  rotateToken(): Promise<void>;
  /** Nobody listens at its address until `start`. */
  stop(): Promise<void>;
  start(): Promise<void>;
  close(): Promise<void>;
}

/** The owner that every pod of `putPod` has. */
const owner = {
  apiVersion: "apps/v1",
  kind: "StatefulSet",
  name: "sandboxes",
  uid: "d0000000-0000-4000-8000-000000000001",
};
const kubernetesIo = "authentication.kubernetes.io";

/** Starts it at a free port of loopback, with one key (RS256). */
export async function startKubernetesApi(options: { readonly clock?: () => number } = {}): Promise<KubernetesApi> {
  const clock = options.clock ?? Date.now;
  const namespace = "sandboxes";
  const issuer = "https://kubernetes.default.svc.cluster.local";
  const audience = "sandgate/enrol";
  const directory = await mkdtemp(join(tmpdir(), "kube-"));
  const caFile = join(directory, "ca.crt");
  const tokenFile = join(directory, "token");
  const tls = await createServerIdentity();
  await writeFile(caFile, tls.ca);

  const pods = new Map<string, TestPod>();
  const pathOf = (pod: Pick<TestPod, "namespace" | "name">) => `/api/v1/namespaces/${pod.namespace}/pods/${pod.name}`;
  let keys: readonly SigningKey[] = [newKey()];
  let ownToken = "";
  let port = 0;
  let server: Server;

  const review = async (token: string, audiences: readonly string[]): Promise<object> => {
    try {
      const { payload } = await jwtVerify(
        token,
        async ({ kid }) => {
          const key = keys.find((candidate) => candidate.kid === kid);
          if (key === undefined) throw new Error("no such key");
          return key.publicKey;
        },
        { issuer, currentDate: new Date(clock()) },
      );
      const named = [payload.aud ?? []].flat().filter((one) => audiences.includes(one));
      const bound = payload["kubernetes.io"] as { pod: { name: string; uid: string }; namespace: string }; // signed here
      if (named.length === 0) throw new Error("the token is for other audiences");
      if (pods.get(pathOf({ ...bound, name: bound.pod.name }))?.uid !== bound.pod.uid)
        throw new Error("the pod is gone");
      const extra = { [`${kubernetesIo}/pod-name`]: [bound.pod.name], [`${kubernetesIo}/pod-uid`]: [bound.pod.uid] };
      return { authenticated: true, user: { username: payload.sub, groups: [], extra }, audiences: named };
    } catch (cause) {
      return { user: {}, error: `[invalid bearer token, ${String(cause)}]` };
    }
  };

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = request.url ?? "";
    api.asked.push(`${request.method} ${path}`);
    if (api.answer(request, response)) return;
    const reply = (status: number, body: object, type = "application/json"): void => {
      response.writeHead(status, { "content-type": type }).end(JSON.stringify(body));
    };
    const refuse = (status: number, reason: string): void =>
      reply(status, { kind: "Status", apiVersion: "v1", status: "Failure", reason, code: status });
    const mayNot = (right: KubernetesRight): boolean => !api.rights.has(right);
    if (request.headers.authorization !== `Bearer ${ownToken}`) return refuse(401, "Unauthorized");
    if (request.method === "GET" && path === "/.well-known/openid-configuration")
      return mayNot("discovery")
        ? refuse(403, "Forbidden")
        : reply(200, { issuer, jwks_uri: `${api.url}/openid/v1/jwks`, response_types_supported: ["id_token"] });
    if (request.method === "GET" && path === "/openid/v1/jwks")
      return mayNot("discovery")
        ? refuse(403, "Forbidden")
        : reply(200, { keys: keys.map(({ jwk }) => jwk) }, "application/jwk-set+json");
    if (request.method === "POST" && path === "/apis/authentication.k8s.io/v1/tokenreviews") {
      if (mayNot("tokenreviews")) return refuse(403, "Forbidden");
      const { spec } = JSON.parse(await text(request)) as { spec: { token: string; audiences: string[] } }; // Auth's client wrote it
      const status = await review(spec.token, spec.audiences);
      return reply(201, { kind: "TokenReview", apiVersion: "authentication.k8s.io/v1", metadata: {}, spec, status });
    }
    const isOwnPod = new RegExp(`^/api/v1/namespaces/${namespace}/pods/[^/?]+$`).test(path);
    if (request.method !== "GET" || !isOwnPod || mayNot("pods")) return refuse(403, "Forbidden");
    const pod = pods.get(path);
    return pod === undefined ? refuse(404, "NotFound") : reply(200, pod.object);
  };

  const api: KubernetesApi = {
    url: "",
    issuer,
    audience,
    namespace,
    caFile,
    tokenFile,
    settings: {},
    asked: [],
    rights: new Set<KubernetesRight>(["pods", "tokenreviews", "discovery"]),
    answer: () => false,
    putPod: ({ name, annotations = {}, namespace: own = namespace, metadata, spec, status }) => {
      const uid = randomUUID();
      const serviceAccount = "supervisor";
      const object = {
        kind: "Pod",
        apiVersion: "v1",
        metadata: { name, namespace: own, uid, annotations, ownerReferences: [owner], ...metadata },
        spec: {
          serviceAccountName: serviceAccount,
          containers: [{ name: "supervisor", image: "supervisor" }],
          ...spec,
        },
        status: { phase: "Running", ...status },
      };
      const pod = { name, namespace: own, uid, serviceAccount, object };
      pods.set(pathOf(pod), pod);
      return pod;
    },
    removePod: (pod) => void pods.delete(pathOf(pod)),
    podToken: (pod, claims = {}, { header = {}, key } = {}) => {
      const [signing] = keys;
      if (signing === undefined) throw new TypeError("the cluster has no key");
      const now = Math.floor(clock() / 1000);
      return new SignJWT({
        iss: issuer,
        aud: [audience],
        sub: `system:serviceaccount:${pod.namespace}:${pod.serviceAccount}`,
        iat: now,
        nbf: now,
        exp: now + 3600,
        jti: randomUUID(),
        "kubernetes.io": {
          namespace: pod.namespace,
          node: { name: "node-1", uid: randomUUID() },
          pod: { name: pod.name, uid: pod.uid },
          serviceaccount: { name: pod.serviceAccount, uid: randomUUID() },
        },
        ...claims,
      })
        .setProtectedHeader({ alg: "RS256", kid: signing.kid, ...header })
        .sign(key ?? signing.privateKey);
    },
    rollOver: ({ keepOld }) => {
      keys = [newKey(), ...(keepOld ? keys : [])];
    },
    rotateToken: async () => {
      ownToken = randomBytes(24).toString("base64url");
      // as the kubelet does: readers find the one or the other
      await writeFile(`${tokenFile}.new`, `${ownToken}\n`);
      await rename(`${tokenFile}.new`, tokenFile);
    },
    stop: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
    start: async () => {
      server = createServer({ cert: tls.cert, key: tls.key }, (request, response) => void serve(request, response));
      server.listen(port, "127.0.0.1");
      await once(server, "listening");
      port = (server.address() as AddressInfo).port; // a TCP server that listens has one
    },
    close: async () => {
      if (server.listening) await api.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
  await api.rotateToken();
  await api.start();
  const url = `https://localhost:${port}`;
  return Object.assign(api, {
    url,
    settings: {
      api_server: url,
      ca_file: caFile,
      token_file: tokenFile,
      namespace,
      issuer,
      owner: { api_version: owner.apiVersion, kind: owner.kind, uid: owner.uid },
    },
  });
}

interface SigningKey {
  readonly kid: string;
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
  readonly jwk: object;
}

function newKey(): SigningKey {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const kid = randomBytes(16).toString("base64url");
  return { kid, publicKey, privateKey, jwk: { ...publicKey.export({ format: "jwk" }), kid, use: "sig", alg: "RS256" } };
}

/** A certificate of an authority of its own, for localhost. */
async function createServerIdentity(): Promise<{ readonly ca: string; readonly cert: string; readonly key: string }> {
  const now = Date.now();
  const notAfter = now + 24 * 3_600_000;
  const authority = await loadCertificateAuthority(
    await createCertificateAuthority({ commonName: "cluster", notAfter }),
  );
  const { publicKey, privateKey } = createKeyPair();
  const leaf = await authority.issueServiceCertificate({
    trustDomain: "cluster.local",
    service: "kubernetes",
    publicKey,
    dnsNames: ["localhost"],
    ipAddresses: ["127.0.0.1"],
    notAfter,
    now,
  });
  return {
    ca: authority.certificatePem,
    cert: leaf.pem,
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}
