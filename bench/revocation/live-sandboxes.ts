import { mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { Action, PolicySchema } from "@sandgate/api/policy";
import { mintToken } from "@sandgate/identity";
import { createCsr, createKeyPair, keyThumbprint } from "@sandgate/pki";
import { type CertificateAuthority, loadCertificateAuthority } from "@sandgate/pki/authority";
import { createPool, type Pool, roleOf, type SocketConnection } from "@sandgate/postgres";
import { openSigningKeys, type SigningKeyRing } from "../../services/auth/src/keys/signing-keys.ts";
import { ReplicaSandbox } from "../../test/faults/replicas/replica-sandbox.ts";
import {
  operatorUserId,
  organizationId,
  type ReplicaSuite,
  trustDomain,
} from "../../test/faults/replicas/replica-suite.ts";

/** Sandboxes as a suite has them that has run for long: in the register, with a policy, a key and tokens. */
export interface LiveSandboxes {
  readonly ids: readonly string[];
  /** A token for the egress proxy. */
  mintEgressToken(sandboxId: string): Promise<string>;
  /** One of them with a certificate, both tokens, and a connection to every replica. */
  connect(sandboxId: string): Promise<ReplicaSandbox>;
  /** What a refresh of some sandbox puts into the change log. */
  supersedeToken(): Promise<void>;
  close(): Promise<void>;
}

const hourMs = 3_600_000;

/** Enters `count` sandboxes into the databases of a suite, as their services would have. */
export async function enterLiveSandboxes(
  suite: ReplicaSuite,
  options: { readonly database: SocketConnection; readonly count: number },
): Promise<LiveSandboxes> {
  const poolOf = (service: string) =>
    createPool({ connection: options.database, role: roleOf(service), schema: service });
  const [auth, policy] = [poolOf("auth"), poolOf("policy")];
  const ids = Array.from({ length: options.count }, (_, index) => sandboxIdOf(index));
  for (const id of ids) for (const socket of suite.egressSockets(id)) mkdirSync(dirname(socket), { recursive: true });
  const keys = await openSigningKeys({
    pool: auth,
    audit: { append: async () => {} },
    directory: join(suite.directory, "keys"),
    rotation: { maxAgeMs: 0, publishMs: 0 },
    workloadAlgorithm: "ES256",
    clock: Date.now,
  });
  await keys.load();
  const { certificateFile, keyFile } = suite.pki.sandboxAuthority;
  const authority = await loadCertificateAuthority({
    certificatePem: readFileSync(certificateFile, "utf8"),
    keyPem: readFileSync(keyFile, "utf8"),
  });
  const pair = createKeyPair(); // they share one: what is measured asks nobody whose it is
  await enterInRegister(auth, ids, pair);
  await enterPolicies(policy, ids);
  return {
    ids,
    mintEgressToken: (sandboxId) => mintEgressToken(keys, sandboxId),
    connect: (sandboxId) => connect({ suite, keys, authority, pair }, sandboxId),
    supersedeToken: async () => {
      const event = {
        kind: "revocation",
        revocation_kind: 2,
        subject: crypto.randomUUID(),
        expire_time: new Date(Date.now() + hourMs).toISOString(),
      };
      await auth.query("select append_trust_events($1::jsonb)", [JSON.stringify([event])]);
    },
    close: async () => {
      await Promise.all([auth.close(), policy.close()]);
    },
  };
}

function sandboxIdOf(index: number): string {
  let letters = "";
  for (let rest = index; rest > 0; rest = Math.floor(rest / 26))
    letters = String.fromCharCode(97 + (rest % 26)) + letters;
  return `sbx-${letters.padStart(20, "a")}`;
}

async function enterInRegister(pool: Pool, ids: readonly string[], pair: ReturnType<typeof createKeyPair>) {
  await pool.query(
    `insert into sandboxes (id, organization_id, name, owner_user_id, incarnation, alive, trusted, public_key, key_thumbprint)
     select id, $2, 'box-' || place, $3, 1, true, true, $4, $5 from unnest($1::text[]) with ordinality as listed (id, place)`,
    [
      ids,
      organizationId,
      operatorUserId,
      pair.publicKey.export({ format: "der", type: "spki" }),
      keyThumbprint(pair.publicKey),
    ],
  );
}

async function enterPolicies(pool: Pool, ids: readonly string[]): Promise<void> {
  const rule = { name: "api", action: Action.ALLOW, hosts: ["api.example"] };
  const policy = toBinary(PolicySchema, create(PolicySchema, { rules: [rule] }));
  await pool.query(
    `insert into policy_revisions (sandbox_id, revision, policy, author, create_time)
     select id, 1, $2, 'bench', now() from unnest($1::text[]) as listed (id)`,
    [ids, policy],
  );
  await pool.query(
    `insert into current_policies (sandbox_id, organization_id, revision, version)
     select id, $2, 1, place from unnest($1::text[]) with ordinality as listed (id, place)`,
    [ids, organizationId],
  );
  await pool.query("update change_counters set position = $1 where stream = 'policies'", [ids.length]);
}

function mintEgressToken(keys: SigningKeyRing, sandboxId: string): Promise<string> {
  const now = Math.floor(Date.now() / 1000) * 1000;
  return mintToken({
    signer: keys.current("ES256"),
    trustDomain,
    claims: {
      kind: "egress",
      audience: "egress-proxy",
      ...holderOf(sandboxId),
      tokenId: crypto.randomUUID(),
      issuedAtMs: now,
      expiresAtMs: now + hourMs,
      enforceContainerBinding: true,
      useEgressGateway: true,
      enforceCentralizedEgress: true,
      isHipaaRegulated: false,
      isPciCompliant: false,
      allowedHosts: undefined,
      confirmation: undefined,
    },
  });
}

async function connect(
  from: {
    readonly suite: ReplicaSuite;
    readonly keys: SigningKeyRing;
    readonly authority: CertificateAuthority;
    readonly pair: ReturnType<typeof createKeyPair>;
  },
  sandboxId: string,
): Promise<ReplicaSandbox> {
  const now = Math.floor(Date.now() / 1000) * 1000;
  const certificateRequest = createCsr(from.pair);
  const leaf = await from.authority.issueSandboxCertificate({
    ...{ trustDomain, sandboxId, certificateRequest, lifeMs: hourMs, now },
  });
  const token = await mintToken({
    signer: from.keys.current("EdDSA"),
    trustDomain,
    claims: {
      kind: "session",
      ...holderOf(sandboxId),
      tokenId: crypto.randomUUID(),
      keyThumbprint: leaf.keyThumbprint,
      issuedAtMs: now,
      expiresAtMs: now + hourMs / 4,
    },
  });
  const certificatePem = `-----BEGIN CERTIFICATE-----\n${Buffer.from(leaf.der)
    .toString("base64")
    .replace(/.{64}(?=.)/g, "$&\n")}\n-----END CERTIFICATE-----\n`;
  const keyPem = from.pair.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  const sandbox = new ReplicaSandbox(from.suite, {
    ...{ id: sandboxId, incarnation: 1n, identity: { certificatePem, keyPem }, token },
  });
  sandbox.egressToken = await mintEgressToken(from.keys, sandboxId);
  return sandbox;
}

function holderOf(sandboxId: string) {
  return { sandboxId, organizationId, incarnation: 1n };
}
