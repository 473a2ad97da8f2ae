import { readFile } from "node:fs/promises";
import {
  AuthenticationV1ApiRequestFactory,
  AuthenticationV1ApiResponseProcessor,
} from "@kubernetes/client-node/dist/gen/apis/AuthenticationV1Api.js";
import {
  CoreV1ApiRequestFactory,
  CoreV1ApiResponseProcessor,
} from "@kubernetes/client-node/dist/gen/apis/CoreV1Api.js";
import { ApiException } from "@kubernetes/client-node/dist/gen/apis/exception.js";
import {
  OpenidApiRequestFactory,
  OpenidApiResponseProcessor,
} from "@kubernetes/client-node/dist/gen/apis/OpenidApi.js";
import {
  WellKnownApiRequestFactory,
  WellKnownApiResponseProcessor,
} from "@kubernetes/client-node/dist/gen/apis/WellKnownApi.js";
import { createConfiguration } from "@kubernetes/client-node/dist/gen/configuration.js";
import type { HttpInfo, RequestContext, ResponseContext } from "@kubernetes/client-node/dist/gen/http/http.js";
import { ServerConfiguration } from "@kubernetes/client-node/dist/gen/servers.js";
import { readForeignKeySet } from "@sandgate/identity";
import { Agent } from "undici";
import * as z from "zod";
import type { KubernetesCluster } from "./kubernetes-cluster.ts";
import type { KubernetesSettings } from "./kubernetes-section.ts";

const maxAnswerBytes = 1024 * 1024;

/**
 * The cluster behind an API server, by the generated client of the Kubernetes project: its request and response classes alone, since its
 * front door loads every API there is (17 MB; these are 3.5 MB). Its token and authorities are read anew for each call.
 */
export function openApiServer(settings: KubernetesSettings): KubernetesCluster {
  const { namespace, audience, issuer, algorithms } = settings;
  let connections: { readonly ca: string; readonly agent: Agent } | undefined;

  /** One pool of connections for each content of the file. */
  const agentFor = (ca: string): Agent => {
    if (connections?.ca === ca) return connections.agent;
    void connections?.agent.close(); // once its calls are done
    connections = { ca, agent: new Agent({ connect: { ca }, maxResponseSize: maxAnswerBytes }) };
    return connections.agent;
  };
  const configuration = createConfiguration({
    baseServer: new ServerConfiguration(settings.api_server.replace(/\/$/, ""), {}),
    authMethods: {
      default: {
        getName: () => "service account",
        applySecurityAuthentication: async (request) => {
          const [token, ca] = await Promise.all([
            readFile(settings.token_file, "utf8"),
            readFile(settings.ca_file, "utf8"),
          ]);
          request.setHeaderParam("Authorization", `Bearer ${token.trim()}`);
          request.setDispatcher(agentFor(ca));
        },
      },
    },
  });
  const send = async <T>(
    made: Promise<RequestContext>,
    read: (response: ResponseContext) => Promise<HttpInfo<T>>,
    signal: AbortSignal,
  ): Promise<T> => {
    const request = await made;
    request.setSignal(signal);
    const response = await configuration.httpApi.send(request).toPromise();
    try {
      return (await read(response)).data;
    } catch (cause) {
      // what an answer holds must not get into a log: a token review comes back with its token
      throw cause instanceof ApiException ? new ApiServerError(cause.code) : new Error("an answer that makes no sense");
    }
  };

  const wellKnown = new WellKnownApiRequestFactory(configuration);
  const openid = new OpenidApiRequestFactory(configuration);
  const authentication = new AuthenticationV1ApiRequestFactory(configuration);
  const core = new CoreV1ApiRequestFactory(configuration);
  const answers = {
    wellKnown: new WellKnownApiResponseProcessor(),
    openid: new OpenidApiResponseProcessor(),
    authentication: new AuthenticationV1ApiResponseProcessor(),
    core: new CoreV1ApiResponseProcessor(),
  };

  return {
    readKeys: async (signal) => {
      const discovery = discoveryAnswer.parse(
        await send<unknown>(
          wellKnown.getServiceAccountIssuerOpenIDConfiguration(),
          (response) => answers.wellKnown.getServiceAccountIssuerOpenIDConfigurationWithHttpInfo(response),
          signal,
        ),
      );
      if (discovery.issuer !== issuer) throw new Error("the cluster's issuer is not the one that is configured");
      const keys = await send<unknown>(
        openid.getServiceAccountIssuerOpenIDKeyset(),
        (response) => answers.openid.getServiceAccountIssuerOpenIDKeysetWithHttpInfo(response),
        signal,
      );
      return readForeignKeySet(keys, algorithms);
    },
    reviewToken: async (token, signal) => {
      const review = await send<unknown>(
        authentication.createTokenReview({ spec: { token, audiences: [audience] } }),
        (response) => answers.authentication.createTokenReviewWithHttpInfo(response),
        signal,
      );
      return reviewAnswer.parse(review);
    },
    findPod: async (name, signal) => {
      try {
        const pod = await send<unknown>(
          core.readNamespacedPod(name, namespace),
          (response) => answers.core.readNamespacedPodWithHttpInfo(response),
          signal,
        );
        return podAnswer.parse(pod);
      } catch (thrown) {
        if (thrown instanceof ApiServerError && thrown.status === 404) return undefined;
        throw thrown;
      }
    },
    close: async () => {
      await connections?.agent.destroy();
    },
  };
}

/** The API server refused, or failed. */
class ApiServerError extends Error {
  override readonly name = "ApiServerError";
  readonly status: number;

  constructor(status: number) {
    super(`the API server answered with the status ${status}`);
    this.status = status;
  }
}

const discoveryAnswer = z.object({ issuer: z.string() });

const reviewAnswer = z
  .object({
    status: z.object({
      // the API server leaves out what is false or empty
      authenticated: z.boolean().default(false),
      audiences: z.array(z.string()).default([]),
      // there is one always, an empty one for nobody: without it, it is no review
      user: z.object({
        username: z.string().default(""),
        extra: z.record(z.string(), z.array(z.string())).default({}),
      }),
    }),
  })
  .transform(({ status: { authenticated, audiences, user } }) => ({
    isAuthenticated: authenticated,
    username: user.username,
    audiences,
    podName: onlyOf(user.extra["authentication.kubernetes.io/pod-name"]),
    podUid: onlyOf(user.extra["authentication.kubernetes.io/pod-uid"]),
  }));

const podAnswer = z
  .object({
    metadata: z.object({
      name: z.string(),
      namespace: z.string(),
      uid: z.string(),
      annotations: z.record(z.string(), z.string()).default({}),
      ownerReferences: z.array(z.object({ apiVersion: z.string(), kind: z.string(), uid: z.string() })).default([]),
      deletionTimestamp: z.unknown().optional(),
    }),
    spec: z.object({ serviceAccountName: z.string() }),
    status: z.object({ phase: z.string() }),
  })
  .transform(({ metadata, spec, status }) => ({
    name: metadata.name,
    namespace: metadata.namespace,
    uid: metadata.uid,
    serviceAccount: spec.serviceAccountName,
    annotations: metadata.annotations,
    owners: metadata.ownerReferences,
    isDeleted: metadata.deletionTimestamp !== undefined && metadata.deletionTimestamp !== null,
    phase: status.phase,
  }));

function onlyOf(values: readonly string[] | undefined): string | undefined {
  return values?.length === 1 ? values[0] : undefined;
}
