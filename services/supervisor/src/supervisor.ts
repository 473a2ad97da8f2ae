import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { AuthService } from "@sandgate/api/auth";
import { PolicyService } from "@sandgate/api/policy";
import { SandboxService } from "@sandgate/api/sandbox";
import { createKeyPair } from "@sandgate/pki";
import { OutputLog } from "@sandgate/process-log";
import { type Channel, type Client, createClient, createHttp2Channel, ServiceError } from "@sandgate/rpc";
import { Activity } from "./activity.ts";
import type { ConfinementFinding } from "./confinement/confinement-finding.ts";
import { probeConfinement } from "./confinement/confinement-probe.ts";
import { holdControlStream } from "./control-stream.ts";
import { startDebugServer } from "./debug/debug-server.ts";
import { startForwarder } from "./forwarder/forwarder.ts";
import { CredentialKeeper } from "./identity/credential-keeper.ts";
import { CredentialSlot } from "./identity/credential-slot.ts";
import type { CredentialSource } from "./identity/credential-source.ts";
import { watchRefusals } from "./identity/refusal-watch.ts";
import type { Logger } from "./logger.ts";
import { createOperation } from "./operations/create-operation.ts";
import { FileOperations } from "./operations/file-operation.ts";
import { runOperation } from "./operations/run-operation.ts";
import { runMainProcess } from "./process/main-process.ts";
import { countOomKills } from "./process/oom-kills.ts";
import { ProcessTable } from "./process/process-table.ts";
import { ProviderEnvironment } from "./process/provider-environment.ts";
import { createWorkload } from "./process/workload.ts";
import type { SupervisorConfig } from "./supervisor-config.ts";
import type { Timers } from "./timers.ts";
import { createUserWorkload } from "./user-boundary/user-workload.ts";
import { IdentitySocket } from "./workload-identity/identity-socket.ts";

/** What a supervisor is made of. */
export interface SupervisorOptions {
  /** Holds from the beginning but for the name and the workload's environment and limits. */
  readonly config: SupervisorConfig;
  /** Resolves when the sandbox is to get its identity. */
  readonly assignment: Promise<Assignment>;
  readonly version: string;
  /** How a workload's process starts the runtime. */
  readonly runtime: readonly string[];
  /** A directory that only the supervisor sees. */
  readonly privateDirectory: string;
  /** A directory whose programs the workload can run, where it is another user. */
  readonly programDirectory?: string;
  /** A directory that the workload can read, for its identity socket; default: one that each of its processes gets to see. */
  readonly identityDirectory?: string;
  /** Where an operator's questions are answered, out of the workload's sight. */
  readonly debugSocket: string;
  readonly timers: Timers;
  readonly random: () => number;
  readonly logger: Logger;
  readonly parts?: SupervisorParts;
}

/** What a test puts around the parts of a supervisor. */
export interface SupervisorParts {
  readonly auth?: (client: Client<typeof AuthService>) => Client<typeof AuthService>;
  readonly sandbox?: (client: Client<typeof SandboxService>) => Client<typeof SandboxService>;
}

/** What makes of a sandbox that is set up a certain one. */
export interface Assignment {
  readonly credentialSource: CredentialSource;
  readonly config: Pick<SupervisorConfig, "name" | "workload">;
}

/** A running supervisor. */
export interface Supervisor {
  /** Resolves when `shutDown` was called and every process has ended. Rejects when it cannot go on. */
  readonly ended: Promise<void>;
  /** Ends every process, then itself. */
  shutDown(graceMs: number): void;
}

/** How long a request waits for the first egress token, or for another than a refused one. */
const tokenWaitMs = 5_000;
const sessionCheckSpreadMs = 500;
/** How long a shutdown waits for the control plane to take the last output. */
const lastWordsMs = 2_000;

/** Starts a sandbox's supervisor: forwarder, probe and, once assigned, enrolment at the same time, then the control stream. */
export function startSupervisor(options: SupervisorOptions): Supervisor {
  const { config, timers, random, logger, parts = {} } = options;
  const stopping = new AbortController();
  /** Aborted behind `stopping`, when what the last processes said has been passed on. */
  const closing = new AbortController();
  const unfinished = new Set<Promise<void>>();
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
  const fail = (cause: unknown): void => {
    if (stopping.signal.aborted) return;
    stopping.abort();
    closing.abort();
    reject(cause);
  };
  const follow = (work: Promise<void>): void => {
    unfinished.add(work);
    work.catch(fail).finally(() => unfinished.delete(work));
  };

  const { sandboxId, incarnation } = config;
  const slot = new CredentialSlot(createKeyPair());
  const authorization = (): Record<string, string> =>
    slot.session === undefined ? {} : { authorization: `Bearer ${slot.session.token}` };
  const serviceCa = (): string => readFileSync(config.serviceCaFile, "utf8"); // at every dial: authorities are replaced
  const enrolmentChannel = createHttp2Channel({
    address: config.enrolAddress,
    serverName: config.authServerName,
    tls: () => ({ ca: serviceCa() }),
  });
  const mutual = (address: string, serverName: string) =>
    createHttp2Channel({
      address,
      serverName,
      tls: () => ({
        ca: serviceCa(),
        key: slot.privateKey,
        ...(slot.session === undefined ? {} : { cert: slot.session.certificate }),
      }),
      headers: authorization,
    });
  const authChannel = mutual(config.authAddress, config.authServerName);
  const shared = config.authAddress === config.sandboxAddress && config.authServerName === config.sandboxServerName;
  const sandboxChannel = shared ? authChannel : mutual(config.sandboxAddress, config.sandboxServerName);
  const policyChannel = mutual(config.policyAddress, config.policyServerName);
  const authOf = (channel: Channel): Client<typeof AuthService> => {
    const client = createClient(AuthService, channel);
    return parts.auth?.(client) ?? client;
  };
  const auth = authOf(watchRefusals(authChannel, slot));
  const sandboxClient = createClient(SandboxService, watchRefusals(sandboxChannel, slot));
  const sandbox = parts.sandbox?.(sandboxClient) ?? sandboxClient;
  const keeper = new CredentialKeeper({
    sandboxId,
    slot,
    enrolment: authOf(enrolmentChannel),
    auth,
    timers,
    random,
    logger,
    onRejoin: () => {
      authChannel.renew();
      sandboxChannel.renew();
      policyChannel.renew();
    },
  });

  const egressToken = async (refused?: string): Promise<string | undefined> => {
    const held = (): string | undefined => {
      const token = slot.findEgressToken(timers.now());
      return token === refused ? undefined : token;
    };
    if (refused !== undefined) slot.refuseEgress(refused);
    if (held() === undefined) await Promise.race([slot.nextEgress(), timers.wait(tokenWaitMs, stopping.signal)]);
    return held();
  };

  /** Makes a call with the session, so that it is replaced if it is refused: a moment later, since all supervisors are asked at once. */
  const checkSession = async (): Promise<void> => {
    await timers.wait(random() * sessionCheckSpreadMs, stopping.signal);
    try {
      await auth.getPrincipal({}, { signal: stopping.signal });
    } catch (cause) {
      if (!(cause instanceof ServiceError)) throw cause;
    }
  };

  const policy = createClient(PolicyService, policyChannel);
  const debugging = startDebugServer({ socketPath: options.debugSocket, slot, keeper, sandbox, policy, sandboxId });
  debugging.catch((cause: unknown) => logger.warn("there is no debug socket", { fault: String(cause) }));
  const { boundary } = config;
  const { privateDirectory } = options;
  const identityDirectory = options.identityDirectory ?? join(privateDirectory, "identity");
  const identity = new IdentitySocket({
    sandboxId,
    directory: identityDirectory,
    policy,
    auth,
    timers,
    logger,
  });
  const providerEnvironment = new ProviderEnvironment({
    sandboxId,
    policy: createClient(PolicyService, policyChannel),
    timers,
    random,
    signal: stopping.signal,
    logger,
  });
  const preparing =
    boundary.kind === "user"
      ? createUserWorkload({
          config,
          boundary,
          privateDirectory,
          programDirectory: options.programDirectory ?? privateDirectory,
        })
      : createWorkload({ config, privateDirectory, identityDirectory });
  const forwarding = startForwarder({ port: config.forwarderPort, egressSocket: config.egressSocket, egressToken });
  let settleProcesses = async (): Promise<void> => {};
  let endWorkload: (graceMs: number) => Promise<void> = async () => {};

  const shutDown = (graceMs: number): void => {
    if (stopping.signal.aborted) return;
    stopping.abort();
    logger.info("shutting down");
    const end = async (): Promise<void> => {
      await endWorkload(graceMs);
      const settled = Promise.allSettled([...unfinished, settleProcesses()]);
      await Promise.race([settled, timers.wait(lastWordsMs, closing.signal)]);
      closing.abort();
      for (const channel of [enrolmentChannel, authChannel, sandboxChannel, policyChannel]) channel.close();
      await Promise.all([
        identity.close(),
        (await forwarding).close(),
        debugging.then(
          (server) => server.close(),
          () => {},
        ),
      ]);
    };
    end().then(resolve, reject);
  };

  const probe = async (): Promise<readonly ConfinementFinding[]> => {
    const [workload, forwarder] = await Promise.all([preparing, forwarding]);
    workload.forwarderPort = forwarder.port;
    endWorkload = (graceMs) => workload.end(graceMs);
    const findings = await probeConfinement({
      workload,
      runtime: options.runtime,
      unreachablePaths: config.unreachablePaths,
      filtered: workload.filtered,
      container: boundary.kind === "user",
    });
    for (const finding of findings) if (!finding.confined) logger.error("not confined", { check: finding.name });
    return findings;
  };
  const confinement = probe();
  confinement.catch(fail);

  const run = async (): Promise<void> => {
    const assignment = await options.assignment;
    const enrolled = keeper.enrol(assignment.credentialSource, stopping.signal);
    const [confined, forwarder] = await Promise.all([preparing, forwarding]);
    confined.configure(assignment.config);
    const workload = { start: providerEnvironment.around(confined) };
    await enrolled;
    logger.info("enrolled");
    enrolmentChannel.renew();
    const egressRequests = (): number => forwarder.requests;
    mkdirSync(config.logDirectory, { recursive: true, mode: 0o700 });
    const table = new ProcessTable({
      ...{ directory: config.logDirectory, workload, egressRequests, timers, logger },
      oomKills: () => countOomKills(),
      random: randomBytes,
    });
    settleProcesses = () => table.settled();
    const files = new FileOperations({ workload: confined, runtime: options.runtime });
    const deps = { table, files, ownPorts: [forwarder.port], egressRequests, timers };
    let mainStarted = false;
    let operations = 0;
    let mainOutput: OutputLog | undefined;
    const activity = new Activity({
      signs: {
        isBusy: () => operations > 0,
        counts: () => [forwarder.bytes, forwarder.requests, mainOutput?.end ?? 0, table.outputBytes],
      },
      now: () => timers.now(),
    });
    await Promise.all([
      keeper.keepSession(stopping.signal),
      keeper.keepEgress(stopping.signal),
      holdControlStream(
        {
          sandboxId,
          incarnation,
          version: options.version,
          sandbox,
          confinement,
          idleMs: () => activity.idleMs(),
          onExec: (open) => {
            operations += 1;
            const operation = createOperation(deps, open);
            const running = runOperation({ sandboxId, open, sandbox, operation, logger });
            follow(running.finally(() => (operations -= 1)));
          },
          onWorkloadGrants: ({ audiences, providers }) => {
            void identity.grant(audiences);
            providerEnvironment.grant(providers);
          },
          onStartMain: (spec) => {
            // Repeated after every reconnect: there is one main process.
            if (mainStarted) return;
            mainStarted = true;
            const files = { directory: config.logDirectory, name: "main" };
            OutputLog.removeLeftovers(files);
            const output = new OutputLog(files);
            mainOutput = output;
            follow(
              runMainProcess(
                { sandboxId, incarnation, sandbox, workload, output, timers, random, logger },
                spec,
                closing.signal,
              ),
            );
          },
          onCheckSession: () => follow(checkSession()),
          timers,
          random,
          logger,
        },
        stopping.signal,
      ),
    ]);
  };
  run().catch(fail);
  return { ended, shutDown };
}
