import type { DescMethod } from "@bufbuild/protobuf";
import { AuthService } from "@sandgate/api/auth";
import { Listener } from "@sandgate/api/options";
import { PolicyService } from "@sandgate/api/policy";
import { Phase, SandboxService } from "@sandgate/api/sandbox";
import { type Channel, createClient } from "@sandgate/rpc";
import { startKubernetesApi } from "@sandgate/testing";
import { startProvider } from "../oidc/start-provider.ts";
import { startSuite, type Topology } from "../suite/start-suite.ts";
import { connect } from "../suite/test-sandbox.ts";
import type { Attacker } from "./attacker.ts";
import { createWorld, oidcPrograms } from "./attackers.ts";
import { callOutcome } from "./call-outcome.ts";
import { expectedOutcome } from "./expected-outcome.ts";
import { attackedServices, madeOnce, requests } from "./requests.ts";
import { startTestSupervisor } from "./test-supervisor.ts";

/** What became of one attacker's call. */
export interface MatrixRow {
  readonly attacker: string;
  readonly expected: string;
  readonly outcome: string;
}

/** The rows of one method: refused ones first, then those that must be let through, all with the same request. */
export interface MethodRows {
  readonly method: string;
  readonly rows: readonly MatrixRow[];
}

/** Every method of the contract, as requests.ts orders them; those that it does not name come first. */
export function attackedMethods(): readonly { readonly name: string; readonly method: DescMethod }[] {
  const order = Object.keys(requests);
  const nameOf = (method: DescMethod): string => {
    const full = `${method.parent.typeName}/${method.name}`;
    return full in requests ? full : method.name;
  };
  return attackedServices
    .flatMap((service) => service.methods.map((method) => ({ name: nameOf(method), method })))
    .sort((one, two) => order.indexOf(one.name) - order.indexOf(two.name));
}

/** Makes an attacker's call with a client of some make, and says what became of it: "OK" or the reason. */
export type Attack = (
  attacker: Attacker,
  method: DescMethod,
  requests: readonly Readonly<Record<string, unknown>>[],
) => Promise<string>;

const byOurClient: Attack = async (attacker, method, requests) => {
  const channel = attacker.channelTo(method.parent.typeName);
  const outcome = await callOutcome(channel, method, requests, attacker.headers);
  if (attacker.identity.kind === "outsider") channel.close();
  return outcome;
};

/** So many refused calls are made side by side: each waits for its audit record. */
const atOnce = 8;

/** Lets every attacker make every call, and tells what became of each. */
export async function runMatrix(
  topology: Topology,
  options: {
    /** Whether an attacker makes a call, by the method's name and the attacker's; default: each makes every call. */
    readonly isChosen?: (method: string, attacker: string) => boolean;
    /** Default: with our own client. */
    readonly attack?: Attack;
    /** Called when everybody has their credentials, before the first attack. */
    readonly onReady?: () => void;
    readonly quiet?: boolean;
  } = {},
): Promise<readonly MethodRows[]> {
  const { isChosen = () => true, attack = byOurClient } = options;
  const provider = await startProvider({ programs: Object.keys(oidcPrograms), claims: oidcPrograms });
  const cluster = await startKubernetesApi();
  const suite = await startSuite(topology, { ...options, oidc: [provider.settings], kubernetes: cluster.settings });
  const world = await createWorld(suite, provider, cluster);
  const control = connect(suite, "sandbox", suite.socket("sandbox", world.own.id, "control"), world.own);
  const supervisor = startTestSupervisor(world.own, control);
  const result: MethodRows[] = [];
  try {
    await createClient(PolicyService, world.serviceChannel("egress-proxy", "policy")).reportPolicyStatus({
      enforcements: [{ sandboxId: world.own.id, revision: 1n }],
    });
    await untilReady(world.operator, world.own.id);
    options.onReady?.();
    for (const { name, method } of attackedMethods()) {
      const callers = world.attackers.filter(
        (attacker) =>
          !attacker.exempt.includes(method.name) &&
          hasListener(topology, method, attacker.listener) &&
          isChosen(name, attacker.name),
      );
      if (callers.length === 0) continue;
      const make = requests[name];
      if (make === undefined) throw new Error(`requests.ts has no allowed request for ${name}`);
      const done = new AbortController();
      const context = { world, supervisor, signal: done.signal };
      const rows: MatrixRow[] = [];
      let request = await make(context);
      const run = async (attacker: Attacker, expected: string): Promise<void> => {
        rows.push({ attacker: attacker.name, expected, outcome: await attack(attacker, method, request) });
      };
      const judged = callers.map((attacker) => ({ attacker, expected: expectedOutcome(method, attacker) }));
      const refused = judged.filter((row) => row.expected !== "OK");
      for (let first = 0; first < refused.length; first += atOnce)
        await Promise.all(
          refused.slice(first, first + atOnce).map(({ attacker, expected }) => run(attacker, expected)),
        );
      let isFirst = true;
      for (const { attacker, expected } of judged.filter((row) => row.expected === "OK")) {
        // the first allowed call is the very request of the refused ones
        if (!isFirst && madeOnce.has(name)) request = await make(context);
        isFirst = false;
        await run(attacker, expected);
      }
      done.abort();
      result.push({ method: `${method.parent.typeName}/${method.name}`, rows });
    }
  } finally {
    await supervisor.stop();
    control.close();
    world.close();
    await suite.stop();
    await provider.end();
    await cluster.close();
  }
  return result;
}

/** Whether the program with this method has such a listener at all: in processes of their own, only Auth has an enrol.sock. */
function hasListener(topology: Topology, method: DescMethod, listener: Listener): boolean {
  if (topology === "all in one") return true;
  const service = method.parent.typeName;
  return listener !== Listener.ENROL || service === AuthService.typeName;
}

async function untilReady(operator: Channel, sandbox: string): Promise<void> {
  for await (const response of createClient(SandboxService, operator).watchSandbox({ sandbox }, { timeoutMs: 20_000 }))
    if (response.sandbox?.phase === Phase.READY) return;
  throw new Error("the sandbox did not become READY");
}
