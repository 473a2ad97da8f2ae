import { generateKeyPairSync } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { create } from "@bufbuild/protobuf";
import { AuthService, SandboxSubjectSchema, WatchTrustResponseSchema } from "@sandgate/api/auth";
import { TrustState } from "@sandgate/identity";
import { type Call, ServiceError } from "@sandgate/rpc";
import { type KubernetesApi, startKubernetesApi, type TestPod } from "@sandgate/testing";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openApiServer } from "./api-server.ts";
import { kubernetesSection } from "./kubernetes-section.ts";
import { KubernetesServiceAccountAuthenticator } from "./kubernetes-service-account.ts";
import { PodIdentities } from "./pod-identities.ts";

const sandboxId = "sbx-aaaaaaaaaaaaaaaaaaaa";
const organizationId = "5f0e9c1e-0000-4000-8000-000000000001";
const annotations = { "sandgate.dev/sandbox-id": sandboxId, "sandgate.dev/incarnation": "3" };
const start = Math.floor(Date.now() / 1000) * 1000;

let time = start;
let cluster: KubernetesApi;
let pod: TestPod;
let faults: unknown[];
let pods: PodIdentities;
let authenticator: KubernetesServiceAccountAuthenticator;
let subject: { alive: boolean; trusted: boolean; incarnation: bigint } | undefined;

beforeAll(async () => {
  cluster = await startKubernetesApi({ clock: () => time });
});
afterAll(() => cluster.close());

beforeEach(() => {
  time = start;
  faults = [];
  subject = { alive: true, trusted: true, incarnation: 3n };
  pod = cluster.putPod({ name: "agent", annotations });
});
afterEach(async () => {
  await pods.stop();
  cluster.answer = () => false;
  for (const right of ["pods", "tokenreviews", "discovery"] as const) cluster.rights.add(right);
});

/** An Auth that begins to trust the cluster now. */
const open = (over: object = {}): void => {
  const settings = kubernetesSection.parse({ ...cluster.settings, ...over });
  const clock = () => time;
  pods = new PodIdentities({
    settings,
    cluster: openApiServer(settings),
    clock,
    onFault: (fault) => faults.push(fault),
  });
  pods.start();
  const trust = new TrustState({ clock: () => start }); // its own clock stands still: revocation data stays current
  trust.apply(create(WatchTrustResponseSchema, { sequence: 1n, change: { case: "snapshot", value: {} } }));
  authenticator = new KubernetesServiceAccountAuthenticator({
    pods,
    trust,
    register: {
      findSandbox: async (id) =>
        id === sandboxId && subject !== undefined
          ? create(SandboxSubjectSchema, { sandboxId, organizationId, ...subject })
          : undefined,
      findSandboxByName: async () => undefined,
      findUser: async () => undefined,
    },
    trustDomain: "sandgate.test",
    clock,
  });
  cluster.asked.length = 0;
};

const authenticate = (
  token: string | undefined,
  {
    method = AuthService.method.issueSandboxToken,
    remoteAddress = "192.0.2.1",
    signal = new AbortController().signal,
  } = {},
) =>
  authenticator.authenticate({
    method,
    signal,
    connection: { remoteAddress },
    header: () => (token === undefined ? undefined : `Bearer ${token}`),
  } as unknown as Call); // what is asked of a call

/** The reason of a refusal, with the fault if it says one; "OK", or "not mine". */
const outcomeOf = async (token: string | undefined, of?: Parameters<typeof authenticate>[1]): Promise<string> => {
  try {
    return (await authenticate(token, of)) === undefined ? "not mine" : "OK";
  } catch (thrown) {
    if (!(thrown instanceof ServiceError)) throw thrown;
    return [thrown.reason, ...Object.values(thrown.metadata)].join(" ");
  }
};

const bound = (over: object = {}) => ({
  namespace: pod.namespace,
  pod: { name: pod.name, uid: pod.uid },
  serviceaccount: { name: pod.serviceAccount, uid: "x" },
  ...over,
});
const stranger = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
const seconds = start / 1000;
const ownerUid = "d0000000-0000-4000-8000-000000000001";
const otherUid = "00000000-0000-4000-8000-000000000000";

/** What is wrong with a token, what it is refused with, and with a token review where that differs. */
const bad = (that: string, make: () => Promise<string>, byKeys: string, byReview = byKeys) => ({
  that,
  make,
  byKeys,
  byReview,
});
const badTokens = [
  bad("for another audience", () => cluster.podToken(pod, { aud: ["vault"] }), "CREDENTIAL_REJECTED audience"),
  bad(
    "for others too",
    () => cluster.podToken(pod, { aud: [cluster.audience, "vault"] }),
    "CREDENTIAL_REJECTED audience",
  ),
  bad("for nobody", () => cluster.podToken(pod, { aud: undefined }), "CREDENTIAL_REJECTED audience"),
  bad(
    "that expired",
    () => cluster.podToken(pod, { iat: seconds - 3700, nbf: seconds - 3700, exp: seconds - 100 }),
    "CREDENTIAL_EXPIRED",
  ),
  bad("that never expires", () => cluster.podToken(pod, { exp: undefined }), "CREDENTIAL_REJECTED malformed"),
  bad("that is not valid yet", () => cluster.podToken(pod, { nbf: seconds + 60 }), "CREDENTIAL_REJECTED not_yet_valid"),
  bad("issued in the future", () => cluster.podToken(pod, { iat: seconds + 60 }), "CREDENTIAL_REJECTED not_yet_valid"),
  bad(
    "that lives longer than the setting",
    () => cluster.podToken(pod, { exp: seconds + 3601 }),
    "CREDENTIAL_REJECTED life",
  ),
  bad(
    "with times that are none",
    () => cluster.podToken(pod, { iat: "now" as unknown as number }),
    "CREDENTIAL_REJECTED malformed",
  ),
  bad(
    "of another namespace",
    () => cluster.podToken(pod, { "kubernetes.io": bound({ namespace: "default" }) }),
    "CREDENTIAL_REJECTED namespace",
  ),
  bad(
    "of no pod",
    () => cluster.podToken(pod, { "kubernetes.io": bound({ pod: undefined }) }),
    "CREDENTIAL_REJECTED unbound",
  ),
  bad("of a Secret", () => cluster.podToken(pod, { "kubernetes.io": undefined }), "CREDENTIAL_REJECTED namespace"),
  bad(
    "of a pod whose name is a path",
    () => cluster.podToken(pod, { "kubernetes.io": bound({ pod: { name: "../../secrets/x", uid: pod.uid } }) }),
    "CREDENTIAL_REJECTED unbound",
  ),
  bad(
    "of a pod without a uid",
    () => cluster.podToken(pod, { "kubernetes.io": bound({ pod: { name: pod.name } }) }),
    "CREDENTIAL_REJECTED unbound",
  ),
  bad(
    "of another subject",
    () => cluster.podToken(pod, { sub: "system:serviceaccount:sandboxes:root" }),
    "CREDENTIAL_REJECTED subject",
  ),
  bad("of a user", () => cluster.podToken(pod, { sub: "system:admin" }), "CREDENTIAL_REJECTED subject"),
  bad(
    "signed by a stranger",
    () => cluster.podToken(pod, {}, { key: stranger }),
    "CREDENTIAL_REJECTED signature",
    "CREDENTIAL_REJECTED review",
  ),
  bad(
    "of an unknown key",
    () => cluster.podToken(pod, {}, { header: { kid: "x" }, key: stranger }),
    "CREDENTIAL_REJECTED key",
    "CREDENTIAL_REJECTED review",
  ),
  bad(
    "with an algorithm that is not configured",
    () => cluster.podToken(pod, {}, { header: { alg: "PS256" } }),
    "CREDENTIAL_REJECTED algorithm",
    "OK",
  ),
  bad(
    "with an extension",
    () => cluster.podToken(pod, {}, { header: { crit: ["b64"], b64: true } }),
    "CREDENTIAL_REJECTED header",
    "OK",
  ),
  bad(
    "that is not signed",
    async () => unsigned(await cluster.podToken(pod)),
    "CREDENTIAL_REJECTED algorithm",
    "CREDENTIAL_REJECTED review",
  ),
  bad(
    "of a pod that is gone",
    async () => {
      const token = await cluster.podToken(pod);
      cluster.removePod(pod);
      return token;
    },
    "CREDENTIAL_REJECTED pod_missing",
    "CREDENTIAL_REJECTED review",
  ),
  bad(
    "of a pod whose name another has by now",
    async () => {
      const token = await cluster.podToken(pod);
      cluster.putPod({ name: pod.name, annotations });
      return token;
    },
    "CREDENTIAL_REJECTED pod_uid",
    "CREDENTIAL_REJECTED review",
  ),
];

/** What is wrong with a pod, and what its token is refused with. */
const badPods: readonly (readonly [string, Partial<Parameters<KubernetesApi["putPod"]>[0]>, string])[] = [
  ["has another name in its object", { metadata: { name: "other" } }, "CREDENTIAL_REJECTED pod_uid"],
  [
    "is of another namespace in its object",
    { metadata: { namespace: "default" } },
    "CREDENTIAL_REJECTED pod_namespace",
  ],
  ["has another service account", { spec: { serviceAccountName: "root" } }, "CREDENTIAL_REJECTED pod_account"],
  ["is being deleted", { metadata: { deletionTimestamp: "2026-03-01T12:00:00Z" } }, "CREDENTIAL_REJECTED pod_ended"],
  ["has succeeded", { status: { phase: "Succeeded" } }, "CREDENTIAL_REJECTED pod_ended"],
  ["has failed", { status: { phase: "Failed" } }, "CREDENTIAL_REJECTED pod_ended"],
  ["is of no known state", { status: { phase: "Unknown" } }, "CREDENTIAL_REJECTED pod_ended"],
  ["has no owner", { metadata: { ownerReferences: undefined } }, "CREDENTIAL_REJECTED pod_owner"],
  [
    "has an owner of another kind",
    { metadata: { ownerReferences: [ownerOf({ kind: "Deployment" })] } },
    "CREDENTIAL_REJECTED pod_owner",
  ],
  [
    "has an owner of another API",
    { metadata: { ownerReferences: [ownerOf({ apiVersion: "apps/v2" })] } },
    "CREDENTIAL_REJECTED pod_owner",
  ],
  [
    "has another owner of the kind",
    { metadata: { ownerReferences: [ownerOf({ uid: otherUid })] } },
    "CREDENTIAL_REJECTED pod_owner",
  ],
  [
    "has our owner and one more",
    { metadata: { ownerReferences: [ownerOf({}), ownerOf({ uid: otherUid })] } },
    "CREDENTIAL_REJECTED pod_owner",
  ],
  ["is no sandbox's", { annotations: {} }, "CREDENTIAL_REJECTED pod_sandbox"],
  [
    "is of a sandbox that cannot be",
    { annotations: { ...annotations, "sandgate.dev/sandbox-id": "*" } },
    "CREDENTIAL_REJECTED pod_sandbox",
  ],
  [
    "is of no incarnation",
    { annotations: { ...annotations, "sandgate.dev/incarnation": "" } },
    "CREDENTIAL_REJECTED pod_incarnation",
  ],
  [
    "is of an incarnation that cannot be",
    { annotations: { ...annotations, "sandgate.dev/incarnation": "3e0" } },
    "CREDENTIAL_REJECTED pod_incarnation",
  ],
  [
    "is of another incarnation",
    { annotations: { ...annotations, "sandgate.dev/incarnation": "2" } },
    "CREDENTIAL_REVOKED",
  ],
  [
    "is of a sandbox that is not registered",
    { annotations: { ...annotations, "sandgate.dev/sandbox-id": "sbx-bbbbbbbbbbbbbbbbbbbb" } },
    "CREDENTIAL_REVOKED",
  ],
];

/** How an API server can fail, and it shows that it does. */
type Answer = readonly [string, (response: ServerResponse) => void];
const outages: readonly Answer[] = [
  ["fails", (response) => response.writeHead(500).end()],
  ["asks for patience", (response) => response.writeHead(429).end()],
  ["refuses Auth itself", (response) => response.writeHead(401).end()],
  ["does not let Auth", (response) => response.writeHead(403).end()],
  ["redirects", (response) => response.writeHead(302, { location: "https://127.0.0.1:1/" }).end()],
  ["is no JSON", (response) => json(response, "{")],
  ["is of another type", (response) => response.writeHead(200, { "content-type": "text/html" }).end("{}")],
  ["is empty", (response) => json(response, "")],
  ["is null", (response) => json(response, "null")],
  ["is a list", (response) => json(response, "[]")],
  ["has nothing in it", (response) => json(response, "{}")],
  [
    "has members of other types",
    (response) => json(response, JSON.stringify({ metadata: 7, spec: [], status: "x", keys: {} })),
  ],
  [
    "has annotations of other types",
    (response) =>
      json(
        response,
        JSON.stringify({
          metadata: { name: "agent", namespace: "sandboxes", uid: "u", annotations: { "sandgate.dev/sandbox-id": 7 } },
          spec: { serviceAccountName: "supervisor" },
          status: { phase: "Running", authenticated: "yes" },
        }),
      ),
  ],
  ["is endless", (response) => json(response, `"${"x".repeat(2 * 1024 * 1024)}"`)],
  [
    "breaks off",
    (response) =>
      response.writeHead(200, { "content-type": "application/json", "content-length": "9" }).write("{") &&
      response.destroy(),
  ],
];

describe.each(["jwks", "token_review"] as const)(
  "G-05: the service account of a sandbox's pod, by %s",
  (verification) => {
    const isReview = verification === "token_review";

    it("is the one sandbox's that the pod's annotation names", async () => {
      open({ verification });
      expect(await authenticate(await cluster.podToken(pod))).toEqual({
        kind: "sandbox",
        sandboxId,
        organizationId,
        incarnation: 3n,
        credential: "service-account",
        podUid: pod.uid,
        spiffeId: `spiffe://sandgate.test/sandbox/${sandboxId}`,
        authenticator: "kubernetes-service-account",
      });
      const get = `GET /api/v1/namespaces/sandboxes/pods/${pod.name}`;
      expect(cluster.asked.slice(isReview ? 0 : 2)).toEqual(
        isReview ? ["POST /apis/authentication.k8s.io/v1/tokenreviews", get] : [get],
      );
    });

    it("is looked at on IssueSandboxToken alone, and nothing else of a token is", async () => {
      open({ verification });
      const token = await cluster.podToken(pod);
      for (const method of Object.values(AuthService.method))
        if (method !== AuthService.method.issueSandboxToken)
          expect(await outcomeOf(token, { method } as never)).toBe("not mine");
      expect(await outcomeOf(undefined)).toBe("not mine");
      expect(await outcomeOf("x")).toBe("not mine");
      expect(await outcomeOf(await cluster.podToken(pod, { iss: "https://auth.sandgate.test" }))).toBe("not mine");
      expect(await outcomeOf(await cluster.podToken(pod, { iss: "kubernetes/serviceaccount" }))).toBe("not mine");
      expect(await outcomeOf(`${token}${"A".repeat(9000)}`)).toBe("not mine");
      expect(cluster.asked.filter((path) => !path.startsWith("GET /openid") && !path.startsWith("GET /.well"))).toEqual(
        [],
      );
    });

    it.each(badTokens)("refuses a token $that", async ({ make, byKeys, byReview }) => {
      open({ verification });
      expect(await outcomeOf(await make())).toBe(isReview ? byReview : byKeys);
    });

    it.each(badPods)("refuses the token of a pod that %s", async (_, over, expected) => {
      open({ verification });
      pod = cluster.putPod({ name: "agent", annotations, ...over });
      expect(await outcomeOf(await cluster.podToken(pod))).toBe(expected);
    });

    it("takes any owner of the kind where no one is configured", async () => {
      open({ verification, owner: { api_version: "apps/v1", kind: "StatefulSet" } });
      pod = cluster.putPod({ name: "agent", annotations, metadata: { ownerReferences: [ownerOf({ uid: otherUid })] } });
      expect(await outcomeOf(await cluster.podToken(pod))).toBe("OK");
    });

    it("refuses a sandbox that is retired, revoked or replaced", async () => {
      for (const over of [{ alive: false }, { trusted: false }, { incarnation: 4n }]) {
        open({ verification });
        subject = { alive: true, trusted: true, incarnation: 3n, ...over };
        expect(await outcomeOf(await cluster.podToken(pod))).toBe("CREDENTIAL_REVOKED");
      }
    });

    it.each(outages)(
      "says of no token that it is bad when the answer about a pod %s, and recovers",
      async (_, answer) => {
        open({ verification });
        const token = await cluster.podToken(pod);
        cluster.answer = ifAbout(isAboutPods, answer);
        expect(await outcomeOf(token)).toBe("IDENTITY_PROVIDER_UNAVAILABLE");
        expect(await outcomeOf(token)).toBe("IDENTITY_PROVIDER_UNAVAILABLE");
        expect(faults).toHaveLength(1);
        cluster.answer = () => false;
        expect(await outcomeOf(token)).toBe("OK");
      },
    );

    it("says that it cannot be asked while the API server is away, and recovers", async () => {
      open({ verification });
      const token = await cluster.podToken(pod);
      expect(await outcomeOf(token)).toBe("OK");
      await cluster.stop();
      expect(await outcomeOf(token)).toBe("IDENTITY_PROVIDER_UNAVAILABLE");
      await cluster.start();
      expect(await outcomeOf(token)).toBe("OK");
    });

    it("waits 5 seconds for an API server that hangs, gathers no callers, and recovers", {
      timeout: 20_000,
    }, async () => {
      open({ verification });
      const token = await cluster.podToken(pod);
      expect(await outcomeOf(token)).toBe("OK");
      cluster.answer = isAboutPods;
      const waiting = Array.from({ length: 64 }, (_, index) => outcomeOf(token, { remoteAddress: `192.0.2.${index}` }));
      expect(await outcomeOf(token)).toBe("LIMIT_REACHED");
      expect(new Set(await Promise.all(waiting))).toEqual(new Set(["IDENTITY_PROVIDER_UNAVAILABLE"]));
      cluster.answer = () => false;
      expect(await outcomeOf(token)).toBe("OK");
    });

    it("ends with its call", async () => {
      open({ verification });
      const token = await cluster.podToken(pod);
      const { promise: asked, resolve } = Promise.withResolvers<void>();
      cluster.answer = ifAbout(isAboutPods, () => resolve());
      const call = new AbortController();
      const outcome = outcomeOf(token, { signal: call.signal });
      await asked;
      call.abort();
      expect(await outcome).toBe("IDENTITY_PROVIDER_UNAVAILABLE");
    });

    it("remembers a refusal for 30 seconds, and asks the cluster nothing meanwhile", async () => {
      open({ verification });
      const bad = cluster.putPod({ name: "bad", annotations: {} });
      const token = await cluster.podToken(bad);
      expect(await outcomeOf(token)).toBe("CREDENTIAL_REJECTED pod_sandbox");
      const asked = cluster.asked.length;
      time += 29_000;
      expect(await outcomeOf(token, { remoteAddress: "192.0.2.9" })).toBe("CREDENTIAL_REJECTED pod_sandbox");
      expect(cluster.asked).toHaveLength(asked);
      time += 2_000;
      expect(await outcomeOf(token)).toBe("CREDENTIAL_REJECTED pod_sandbox");
      expect(cluster.asked.length).toBeGreaterThan(asked);
    });

    it("looks at 20 bad tokens of a network in 10 seconds, and at no more", async () => {
      open({ verification });
      const bad = cluster.putPod({ name: "bad", annotations: {} });
      const fresh = () => cluster.podToken(bad);
      for (let count = 0; count < 20; count += 1)
        expect(await outcomeOf(await fresh())).toBe("CREDENTIAL_REJECTED pod_sandbox");
      const asked = cluster.asked.length;
      expect(await outcomeOf(await fresh())).toBe("LIMIT_REACHED");
      expect(await outcomeOf(await cluster.podToken(pod))).toBe("LIMIT_REACHED");
      expect(cluster.asked).toHaveLength(asked);
      expect(await outcomeOf(await cluster.podToken(pod), { remoteAddress: "192.0.2.2" })).toBe("OK");
      time += 10_000;
      expect(await outcomeOf(await cluster.podToken(pod))).toBe("OK");
    });

    it("comes with Auth's own token as it is now", async () => {
      open({ verification });
      expect(await outcomeOf(await cluster.podToken(pod))).toBe("OK");
      await cluster.rotateToken();
      expect(await outcomeOf(await cluster.podToken(pod))).toBe("OK");
    });

    it("tells nothing that an answer holds, a token least of all", async () => {
      open({ verification });
      const token = await cluster.podToken(pod);
      cluster.answer = ifAbout(isAboutPods, (response) => json(response, `${token}{"spec":`));
      expect(await outcomeOf(token)).toBe("IDENTITY_PROVIDER_UNAVAILABLE");
      const told = JSON.stringify(
        faults.map((fault) => (fault instanceof Error ? [fault.message, fault.stack] : fault)),
      );
      expect(told).not.toContain(token.slice(0, 20));
    });
  },
);

describe("G-05: the cluster's keys", () => {
  it("are followed when they change: the new one signs at once, and a removed one signs nothing more", async () => {
    open();
    const old = await cluster.podToken(pod);
    expect(await outcomeOf(old)).toBe("OK");
    cluster.rollOver({ keepOld: true });
    time += 10_000;
    expect(await outcomeOf(await cluster.podToken(pod))).toBe("OK");
    expect(await outcomeOf(old)).toBe("OK");
    cluster.rollOver({ keepOld: false });
    time += 10_000;
    expect(await outcomeOf(await cluster.podToken(pod))).toBe("OK");
    expect(await outcomeOf(old)).toBe("CREDENTIAL_REJECTED key");
  });

  const otherIssuer: Answer = ["is another issuer's", (response) => json(response, '{"issuer":"https://other.test"}')];
  it.each([otherIssuer, ...outages])(
    "are none when what is said of them %s: not ready, no token is called bad, and it recovers",
    async (_, answer) => {
      cluster.answer = ifAbout((request) => !isAboutPods(request), answer);
      open();
      expect(await outcomeOf(await cluster.podToken(pod))).toBe("IDENTITY_PROVIDER_UNAVAILABLE");
      expect(() => pods.checks.kubernetes?.()).toThrow();
      cluster.answer = () => false;
      time += 10_000;
      expect(await outcomeOf(await cluster.podToken(pod))).toBe("OK");
      pods.checks.kubernetes?.();
    },
  );

  it("cannot be had without the right to discovery, which token reviews do without", async () => {
    cluster.rights.delete("discovery");
    open();
    expect(await outcomeOf(await cluster.podToken(pod))).toBe("IDENTITY_PROVIDER_UNAVAILABLE");
    await pods.stop();
    open({ verification: "token_review" });
    expect(await outcomeOf(await cluster.podToken(pod))).toBe("OK");
    expect(pods.checks).toEqual({});
  });

  it("do without the right to create token reviews", async () => {
    cluster.rights.delete("tokenreviews");
    open();
    expect(await outcomeOf(await cluster.podToken(pod))).toBe("OK");
  });
});

describe("G-05: a token review", () => {
  const genuine = async () => ({
    authenticated: true,
    audiences: [cluster.audience],
    user: {
      username: "system:serviceaccount:sandboxes:supervisor",
      extra: {
        "authentication.kubernetes.io/pod-name": [pod.name],
        "authentication.kubernetes.io/pod-uid": [pod.uid],
      },
    },
  });

  it.each([
    ["says no", { authenticated: false }, "CREDENTIAL_REJECTED review"],
    ["does not say", { authenticated: undefined }, "CREDENTIAL_REJECTED review"],
    ["knows no audiences", { audiences: undefined }, "CREDENTIAL_REJECTED audience"],
    ["is for another audience", { audiences: ["vault"] }, "CREDENTIAL_REJECTED audience"],
    [
      "names another account",
      { user: { username: "system:serviceaccount:default:supervisor" } },
      "CREDENTIAL_REJECTED review",
    ],
    ["names a user of another authenticator", { user: { username: "supervisor" } }, "CREDENTIAL_REJECTED review"],
    [
      "names no pod",
      { user: { username: "system:serviceaccount:sandboxes:supervisor" } },
      "CREDENTIAL_REJECTED review",
    ],
    ["names nobody", { user: {} }, "CREDENTIAL_REJECTED review"],
    ["has nobody in it", { user: undefined }, "IDENTITY_PROVIDER_UNAVAILABLE"],
    ["is as it must be", {}, "OK"],
  ])("that %s: %s", async (_, over, expected) => {
    open({ verification: "token_review" });
    const status = { ...(await genuine()), ...over };
    cluster.answer = ifAbout(
      ({ method }) => method === "POST",
      (response) => json(response, JSON.stringify({ status }), 201),
    );
    expect(await outcomeOf(await cluster.podToken(pod))).toBe(expected);
  });
});

it("G-05: sa_token_ttl_secs is 3600 unless set, and clamped to 600 and 86400", () => {
  const ttlOf = (over: object) => kubernetesSection.parse({ ...cluster.settings, ...over }).sa_token_ttl_secs;
  expect(ttlOf({})).toBe(3600);
  expect([0, 599, 600, 86_400, 86_401].map((sa_token_ttl_secs) => ttlOf({ sa_token_ttl_secs }))).toEqual([
    600, 600, 600, 86_400, 86_400,
  ]);
  open();
});

/** The owner that the configuration names, but for what is said. */
function ownerOf(over: object): object {
  return { apiVersion: "apps/v1", kind: "StatefulSet", name: "sandboxes", uid: ownerUid, ...over };
}

/** Answers the requests that it is about, and leaves the others to the cluster. */
function ifAbout(
  isAbout: (request: IncomingMessage) => boolean,
  answer: (response: ServerResponse) => void,
): KubernetesApi["answer"] {
  return (request, response) => {
    if (!isAbout(request)) return false;
    answer(response);
    return true;
  };
}

function isAboutPods({ url = "" }: Pick<IncomingMessage, "url">): boolean {
  return url.startsWith("/api/") || url.startsWith("/apis/");
}

function json(response: ServerResponse, body: string, status = 200): void {
  response.writeHead(status, { "content-type": "application/json" }).end(body);
}

/** The same claims under `alg: none`. */
function unsigned(token: string): string {
  const [, payload = ""] = token.split(".");
  return `${Buffer.from('{"alg":"none","kid":"x"}').toString("base64url")}.${payload}.AAAA`;
}
