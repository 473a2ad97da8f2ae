import { AuthService, type SandboxCredentials } from "@sandgate/api/auth";
import { PolicyService } from "@sandgate/api/policy";
import { SandboxService } from "@sandgate/api/sandbox";
import { createCsr, createKeyPair } from "@sandgate/pki";
import { type Channel, type Client, createClient, ServiceError } from "@sandgate/rpc";
import { requestThroughProxy } from "../../../scripts/demo/proxy-request.ts";
import type { Identity, ReplicaSuite } from "./replica-suite.ts";

/** Where a revocation must arrive: each replica of each program. */
export const consumers = [
  "auth-a",
  "auth-b",
  "sandbox-a",
  "sandbox-b",
  "policy-a",
  "policy-b",
  "egress-proxy-a",
  "egress-proxy-b",
] as const;
export type Consumer = (typeof consumers)[number];

/** How a consumer answered: "taken", or the reason of its refusal. */
export type Answer = string;

/** A sandbox whose supervisor the caller plays, with a connection of its own to every replica. */
export class ReplicaSandbox {
  readonly id: string;
  readonly incarnation: bigint;
  readonly identity: Identity;
  readonly auth: readonly [Client<typeof AuthService>, Client<typeof AuthService>];
  readonly sandbox: readonly [Client<typeof SandboxService>, Client<typeof SandboxService>];
  readonly policy: readonly [Client<typeof PolicyService>, Client<typeof PolicyService>];
  readonly egressSockets: readonly [string, string];
  readonly #channels: readonly Channel[];
  token: string;
  egressToken = "";

  constructor(
    suite: Pick<ReplicaSuite, "connect" | "egressSockets">,
    fields: { readonly id: string; readonly incarnation: bigint; readonly identity: Identity; readonly token: string },
  ) {
    const { id, incarnation, identity, token } = fields;
    this.id = id;
    this.incarnation = incarnation;
    this.identity = identity;
    this.token = token;
    this.egressSockets = suite.egressSockets(id);
    const channels: Channel[] = [];
    const connect = (program: "auth" | "sandbox" | "policy", at: 0 | 1): Channel => {
      const channel = suite.connect(program, at, identity);
      channels.push(channel);
      return channel;
    };
    this.#channels = channels;
    this.auth = [createClient(AuthService, connect("auth", 0)), createClient(AuthService, connect("auth", 1))];
    this.sandbox = [
      createClient(SandboxService, connect("sandbox", 0)),
      createClient(SandboxService, connect("sandbox", 1)),
    ];
    this.policy = [
      createClient(PolicyService, connect("policy", 0)),
      createClient(PolicyService, connect("policy", 1)),
    ];
  }

  close(): void {
    for (const channel of this.#channels) channel.close();
  }

  get authorization(): { readonly headers: { readonly authorization: string } } {
    return { headers: { authorization: `Bearer ${this.token}` } };
  }

  /** Asks a consumer for something that only this sandbox's credentials open. */
  async ask(consumer: Consumer, token = this.token, egressToken = this.egressToken): Promise<Answer> {
    const at = consumer.endsWith("-a") ? 0 : 1;
    const call = { headers: { authorization: `Bearer ${token}` }, timeoutMs: 5_000 };
    switch (consumer) {
      case "auth-a":
      case "auth-b":
        return answerOf(this.auth[at].getPrincipal({}, call));
      case "sandbox-a":
      case "sandbox-b":
        return answerOf(this.sandbox[at].getSandboxConfig({ sandboxId: this.id }, call));
      case "policy-a":
      case "policy-b":
        return answerOf(this.policy[at].getInferenceBundle({ sandbox: this.id }, call));
      case "egress-proxy-a":
      case "egress-proxy-b": {
        const { status, headers } = await requestThroughProxy({
          socket: this.egressSockets[at],
          url: "http://nowhere.example/",
          token: egressToken,
        });
        // 403 is policy's answer to whom the proxy knows
        return status === 403 ? "taken" : String(headers["x-deny-reason"] ?? headers["x-proxy-error"] ?? status);
      }
    }
  }

  async askAll(token = this.token, egressToken = this.egressToken): Promise<Readonly<Record<string, Answer>>> {
    const answers = await Promise.all(
      consumers.map(async (consumer) => [consumer, await this.ask(consumer, token, egressToken)] as const),
    );
    return Object.fromEntries(answers);
  }

  async renewEgress(at: 0 | 1 = 0): Promise<void> {
    this.egressToken = (await this.auth[at].issueEgressToken({ sandboxId: this.id }, this.authorization)).token;
  }
}

/** The reason of a call's refusal, or "taken". A sandbox that the service has no rows of was taken for who it is. */
export async function answerOf(call: Promise<unknown>): Promise<Answer> {
  try {
    await call;
    return "taken";
  } catch (thrown) {
    if (!(thrown instanceof ServiceError)) throw thrown;
    return thrown.reason;
  }
}

/** Enrols a new key at Auth's edge with a bootstrap token. */
export async function enrolKey(
  suite: ReplicaSuite,
  fields: { readonly sandboxId: string; readonly bootstrapToken: string },
  at: 0 | 1 = 0,
): Promise<{ readonly identity: Identity; readonly credentials: SandboxCredentials }> {
  const keys = createKeyPair();
  const edge = suite.connect("auth", at, undefined, "edge");
  const { credentials } = await createClient(AuthService, edge).issueSandboxToken(
    { sandboxId: fields.sandboxId, certificateSigningRequest: createCsr(keys) },
    { headers: { authorization: `Bearer ${fields.bootstrapToken}` } },
  );
  if (credentials === undefined) throw new Error("no credentials were issued");
  const keyPem = keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  return { identity: { certificatePem: pemOf(credentials), keyPem }, credentials };
}

function pemOf(credentials: SandboxCredentials): string {
  return credentials.certificateChain
    .map((der) => {
      const lines =
        Buffer.from(der)
          .toString("base64")
          .match(/.{1,64}/g) ?? [];
      return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
    })
    .join("");
}
