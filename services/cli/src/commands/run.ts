import { randomUUID } from "node:crypto";
import { DecisionSchema, PolicyService } from "@sandgate/api/policy";
import {
  ExitReason,
  Phase,
  ProcessExitSchema,
  type Sandbox,
  SandboxSchema,
  SandboxService,
} from "@sandgate/api/sandbox";
import { type Client, ServiceError } from "@sandgate/rpc";
import { type ClientFile, findClientFile } from "../client-file.ts";
import type { CommandContext } from "../command-context.ts";
import { formatDecisionSummary, suggestedAllows } from "../decision-view.ts";
import { escapeLine } from "../escape-control.ts";
import { messageJson } from "../message-json.ts";
import { phaseName } from "../sandbox-view.ts";
import { DecisionCollector } from "../session/decision-collector.ts";
import { parseEnvironmentPairs } from "../session/environment-pairs.ts";
import { localStreams } from "../session/local-streams.ts";
import { readRequestedPolicy } from "../session/policy-source.ts";
import { type ExecOutcome, runProcessSession } from "../session/process-session.ts";
import { RunTimings } from "../session/run-timings.ts";
import { waitUntilReady } from "../session/wait-until-ready.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate run`. */
export interface RunOptions {
  readonly allow: readonly string[];
  readonly policy?: string;
  readonly provider: readonly string[];
  readonly name?: string;
  readonly image?: string;
  readonly keep?: boolean;
  readonly env: readonly string[];
  readonly cwd?: string;
  readonly tty?: boolean;
  readonly stdin: boolean;
  readonly table: boolean;
  readonly timings?: boolean;
}

const readyTimeoutMs = 60_000;

/** `sandgate run`: a command in a sandbox of its own, what it tried to reach, and its exit code. */
export async function run(context: CommandContext, words: readonly string[], options: RunOptions): Promise<number> {
  const { output } = context;
  const timings = new RunTimings(context.elapsed);
  timings.mark("start the command line");
  const environment = parseEnvironmentPairs(options.env);
  const streams = localStreams(output, options);
  const policy = await readRequestedPolicy({
    allow: options.allow,
    file: options.policy,
    providers: options.provider,
  });
  const { connection, sandbox } = await createInRunningSuite(context, (client) =>
    client.createSandbox(
      {
        requestId: randomUUID(),
        name: options.name ?? "",
        spec: { environment, image: options.image ?? "" },
        ...(policy === undefined ? {} : { policy }),
      },
      { signal: context.interruptions.signal },
    ),
  );
  timings.mark("connect and create");
  output.event({ event: "sandbox", sandbox: messageJson(SandboxSchema, sandbox) });

  const client = connection.client("sandbox", SandboxService);
  const decisions = options.table
    ? new DecisionCollector(connection.client("policy", PolicyService), sandbox.id)
    : undefined;
  const remove = async () => {
    if (options.keep !== true)
      await client.deleteSandbox({ sandbox: sandbox.id, requestId: randomUUID() }, { timeoutMs: 5_000 });
  };
  let outcome: ExecOutcome;
  try {
    await waitUntilReady({
      client,
      sandbox: sandbox.id,
      output,
      signal: context.interruptions.signal,
      timeoutMs: readyTimeoutMs,
      onPhase: (phase) => timings.mark(`phase ${phaseName(phase)}`),
    });
    timings.mark(`phase ${phaseName(Phase.READY)}`);
    outcome = await runProcessSession({
      client,
      sandbox: sandbox.id,
      start: {
        command: words[0] === "--" ? words.slice(1) : [...words],
        workingDirectory: options.cwd ?? "",
      },
      ...streams,
      interruptions: context.interruptions,
      onFirstOutput: () => timings.mark("exec, first message"),
    });
  } catch (error) {
    decisions?.close();
    await remove().catch(() =>
      output.note(`sandgate: ${sandbox.id} could not be removed; \`sandgate rm ${sandbox.id}\``),
    );
    throw error;
  }
  timings.mark("exec, end");
  const [tried] = await Promise.all([decisions?.settle(outcome.egressRequests) ?? [], remove()]);
  timings.mark(options.keep === true ? "decisions" : "decisions and removal asked");

  if (outcome.startFault !== undefined)
    output.note(`sandgate: the command could not be started: ${escapeLine(outcome.startFault)}`);
  if (outcome.exit?.reason === ExitReason.OUT_OF_MEMORY)
    output.note("sandgate: the command was ended because the sandbox's memory was used up");
  for (const decision of tried) output.event({ event: "decision", decision: messageJson(DecisionSchema, decision) });
  if (tried.length > 0) {
    output.note(`\n${formatDecisionSummary(tried, output.noteColors)}`);
    const allows = suggestedAllows(tried);
    if (allows.length > 0)
      output.note(output.noteColors.dim(`to let it through: ${allows.map((host) => `--allow ${host}`).join(" ")}`));
  }
  if (options.keep === true) output.note(`kept: ${sandbox.name} (${sandbox.id})`);
  output.event({
    event: "exit",
    exitCode: outcome.exitCode,
    ...(outcome.exit === undefined ? {} : { exit: messageJson(ProcessExitSchema, outcome.exit) }),
    ...(outcome.startFault === undefined ? {} : { startFault: outcome.startFault }),
  });
  if (options.timings === true) {
    output.note(`\n${timings.format(output.noteColors)}`);
    output.event({ event: "timings", stages: timings.stages });
  }
  connection.close();
  return outcome.exitCode;
}

/** Creates the sandbox; where no suite answers, and none on another machine was named, one is started first. */
async function createInRunningSuite(
  context: CommandContext,
  createSandbox: (client: Client<typeof SandboxService>) => Promise<{ sandbox?: Sandbox | undefined }>,
): Promise<{ connection: SuiteConnection; sandbox: Sandbox }> {
  const attempt = async (file: ClientFile) => {
    const connection = new SuiteConnection(file);
    const { sandbox } = await createSandbox(connection.client("sandbox", SandboxService));
    if (sandbox === undefined) throw new Error("the service answered without a sandbox");
    return { connection, sandbox };
  };
  if (context.namedClientFile !== undefined) return attempt(context.clientFile());
  if (findClientFile(context.directories().clientFile) !== undefined) {
    try {
      return await attempt(context.clientFile());
    } catch (error) {
      if (!(error instanceof ServiceError) || error.reason !== "UNAVAILABLE") throw error;
    }
  }
  const { ensureSuite } = await import("../suite/ensure-suite.ts");
  await ensureSuite(context);
  return attempt(context.clientFile());
}
