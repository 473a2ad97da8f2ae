import { AuthService, type SandboxCredentials } from "@sandgate/api/auth";
import { SandboxService } from "@sandgate/api/sandbox";
import { createCsr, createKeyPair, type KeyPair } from "@sandgate/pki";
import { CertificateStore, type Channel, createClient, createGrpcChannel } from "@sandgate/rpc";
import { type ServiceName, type TestSuite, trustDomain } from "./start-suite.ts";

/** A sandbox whose supervisor the test plays: it has its key, certificate and token. */
export interface TestSandbox {
  readonly id: string;
  readonly name: string;
  readonly incarnation: bigint;
  readonly keys: KeyPair;
  readonly token: string;
  readonly certificatePem: string;
  readonly keyPem: string;
  /** A PKCS#10 request for its key. */
  readonly csr: Uint8Array;
}

/** Creates a sandbox as the user behind `operator`, and enrols it through its own enrol.sock. */
export async function createTestSandbox(
  suite: TestSuite,
  operator: Channel,
  name: string,
  /** Of its main process; default: it has none. */
  command: string[] = [],
): Promise<TestSandbox> {
  const { sandbox } = await createClient(SandboxService, operator).createSandbox({
    requestId: crypto.randomUUID(),
    name,
    spec: { command },
  });
  if (sandbox === undefined) throw new Error("no sandbox was created");
  return enrolTestSandbox(suite, { id: sandbox.id, name });
}

/** Enrols the incarnation of a sandbox that the driver was told to start last, or is told next, with a key of its own. */
export async function enrolTestSandbox(
  suite: TestSuite,
  sandbox: { readonly id: string; readonly name: string },
): Promise<TestSandbox> {
  const start = await suite.driver.startOf(sandbox.id);
  const keys = createKeyPair();
  const csr = await createCsr(keys);
  const enrol = enrolmentChannel(suite, sandbox.id);
  const { credentials } = await createClient(AuthService, enrol).issueSandboxToken(
    { sandboxId: sandbox.id, certificateSigningRequest: csr },
    { headers: { authorization: `Bearer ${start.bootstrapToken}` } },
  );
  enrol.close();
  if (credentials === undefined) throw new Error("no credentials were issued");
  return {
    id: sandbox.id,
    name: sandbox.name,
    incarnation: start.incarnation,
    keys,
    csr,
    token: credentials.token,
    certificatePem: chainPem(credentials),
    keyPem: keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

/** The way to Auth through a sandbox's enrol.sock, without a certificate. */
export function enrolmentChannel(suite: TestSuite, sandboxId: string): Channel {
  return createGrpcChannel({
    address: suite.socket("auth", sandboxId, "enrol"),
    serverName: `auth.${trustDomain}`,
    certificates: new CertificateStore({ ca: suite.serviceCa }),
  });
}

/** A channel with a client certificate, or without. */
export function connect(
  suite: TestSuite,
  service: ServiceName,
  address: string,
  identity?: { readonly certificatePem: string; readonly keyPem: string },
): Channel {
  return createGrpcChannel({
    address,
    serverName: `${service}.${trustDomain}`,
    certificates: new CertificateStore({
      ca: suite.serviceCa,
      ...(identity !== undefined && { certificate: identity.certificatePem, key: identity.keyPem }),
    }),
  });
}

function chainPem(credentials: SandboxCredentials): string {
  return credentials.certificateChain
    .map(
      (der) => `-----BEGIN CERTIFICATE-----\n${wrap(Buffer.from(der).toString("base64"))}\n-----END CERTIFICATE-----\n`,
    )
    .join("");
}

function wrap(text: string): string {
  return text.replace(/.{64}(?=.)/g, "$&\n");
}
