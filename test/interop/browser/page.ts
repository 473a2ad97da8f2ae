import { ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { AuthService } from "@sandgate/api/auth";
import { ErrorInfoSchema } from "@sandgate/api/google/rpc/error-details";
import { Phase, SandboxService } from "@sandgate/api/sandbox";

/** How a page calls the web front. */
export interface PageCall {
  readonly protocol: "gRPC-Web" | "Connect";
  readonly baseUrl: string;
  readonly token?: string;
  /** Whether the browser is asked to send its cookies along. */
  readonly withCookies?: boolean;
}

/** Why a call was refused, as far as the page may know. */
export interface PageRefusal {
  readonly message: string;
  readonly reason: string | undefined;
  readonly metadata: Readonly<Record<string, string>> | undefined;
}

/** Who the call is made for. */
export async function whoAmI(call: PageCall): Promise<string | PageRefusal> {
  try {
    return (await createClient(AuthService, open(call)).getPrincipal({}, options(call))).spiffeId;
  } catch (thrown) {
    return refusalOf(thrown);
  }
}

/** Creates a sandbox; undefined when it could. */
export async function createSandbox(call: PageCall, name: string): Promise<PageRefusal | undefined> {
  try {
    const client = createClient(SandboxService, open(call));
    await client.createSandbox({ requestId: crypto.randomUUID(), name }, options(call));
    return undefined;
  } catch (thrown) {
    return refusalOf(thrown);
  }
}

/** The phases of a sandbox that is deleted as soon as the first is seen. */
export async function watchToTheEnd(call: PageCall, name: string): Promise<readonly string[]> {
  const client = createClient(SandboxService, open(call));
  const phases: string[] = [];
  for await (const { sandbox } of client.watchSandbox({ sandbox: name }, options(call))) {
    if (phases.length === 0)
      await client.deleteSandbox({ sandbox: name, requestId: crypto.randomUUID() }, options(call));
    phases.push(Phase[sandbox?.phase ?? Phase.UNSPECIFIED]);
    if (sandbox?.phase === Phase.DELETED) break;
  }
  return phases;
}

function open({ protocol, baseUrl, withCookies }: PageCall): Transport {
  const create = protocol === "Connect" ? createConnectTransport : createGrpcWebTransport;
  const credentials = withCookies === true ? "include" : "same-origin";
  return create({ baseUrl, fetch: (input, init) => fetch(input, { ...init, credentials }) });
}

function options({ token }: PageCall): { readonly timeoutMs: number; readonly headers: Record<string, string> } {
  return { timeoutMs: 20_000, headers: token === undefined ? {} : { authorization: `Bearer ${token}` } };
}

function refusalOf(thrown: unknown): PageRefusal {
  const error = ConnectError.from(thrown);
  const [info] = error.findDetails(ErrorInfoSchema);
  return { message: error.rawMessage, reason: info?.reason, metadata: info?.metadata };
}
