import { Argument, Command, InvalidArgumentError, Option } from "commander";
import type { CommandContext } from "./command-context.ts";
import type { CreateApiKeyOptions } from "./commands/api-key-create.ts";
import type { ListApiKeysOptions } from "./commands/api-key-ls.ts";
import type { AttachOptions } from "./commands/attach.ts";
import type { AuditOptions } from "./commands/audit.ts";
import type { VerifyAuditOptions } from "./commands/audit-verify.ts";
import type { CertgenOptions } from "./commands/certgen.ts";
import type { CreateOptions } from "./commands/create.ts";
import type { DecisionsOptions } from "./commands/decisions.ts";
import type { DownOptions } from "./commands/down.ts";
import type { SignEnvelopeTokenOptions } from "./commands/envelope-sign.ts";
import type { EnvelopeStatusOptions } from "./commands/envelope-status.ts";
import type { ExecOptions } from "./commands/exec.ts";
import type { GetOptions } from "./commands/get.ts";
import type { KeygenOptions } from "./commands/keygen.ts";
import type { ListKeysOptions } from "./commands/keys-ls.ts";
import type { RevokeKeyOptions } from "./commands/keys-revoke.ts";
import type { RotateKeysOptions } from "./commands/keys-rotate.ts";
import type { KillOptions, TargetName } from "./commands/kill.ts";
import type { LoginOptions } from "./commands/login.ts";
import type { OidcLoginOptions } from "./commands/login-oidc.ts";
import type { LogoutOptions } from "./commands/logout.ts";
import type { LogsOptions } from "./commands/logs.ts";
import type { ListOptions } from "./commands/ls.ts";
import type { CreateOrganizationOptions } from "./commands/organization-create.ts";
import type { ListOperatorsOptions } from "./commands/pki-ls.ts";
import type { OperatorOptions } from "./commands/pki-operator.ts";
import type { RevokeOperatorOptions } from "./commands/pki-revoke.ts";
import type { RotateAuthorityOptions } from "./commands/pki-rotate.ts";
import type { ApproveOptions, DecideOptions } from "./commands/policy-decide.ts";
import type { EditProposalOptions } from "./commands/policy-edit.ts";
import type { GetPolicyOptions } from "./commands/policy-get.ts";
import type { ModeName } from "./commands/policy-mode.ts";
import type { ListProposalsOptions } from "./commands/policy-proposals.ts";
import type { ProposeOptions } from "./commands/policy-propose.ts";
import type { SetPolicyOptions, StorePolicyOptions } from "./commands/policy-set.ts";
import type { TestPolicyOptions } from "./commands/policy-test.ts";
import type { PortForwardOptions } from "./commands/port-forward.ts";
import type { ProviderOptions } from "./commands/provider-create.ts";
import type { ListProcessesOptions } from "./commands/ps.ts";
import type { RevokeOptions } from "./commands/revoke.ts";
import type { RemoveOptions } from "./commands/rm.ts";
import type { RunOptions } from "./commands/run.ts";
import type { ListSessionsOptions } from "./commands/session-ls.ts";
import type { RevokeSessionOptions, RevokeTokenOptions } from "./commands/session-revoke.ts";
import type { SignUpOptions } from "./commands/sign-up.ts";
import type { StartOptions } from "./commands/start.ts";
import type { StopOptions } from "./commands/stop.ts";
import type { InspectTokenOptions } from "./commands/token-inspect.ts";
import type { MintTokenOptions } from "./commands/token-mint.ts";
import type { VerifyTokenOptions } from "./commands/token-verify.ts";
import type { UpOptions } from "./commands/up.ts";
import type { UpdateOptions } from "./commands/update.ts";
import type { AcceptOptions } from "./commands/user-accept-invitation.ts";
import type { ImportOptions } from "./commands/user-import.ts";
import type { InviteOptions } from "./commands/user-invite.ts";
import type { WaitOptions } from "./commands/wait.ts";
import type { EnvelopeOptions } from "./envelope/find-envelopes.ts";
import { idleActionNames } from "./idle-action-name.ts";
import { type PhaseName, parsePhaseName } from "./phase-name.ts";
import type { StateName } from "./proposal-view.ts";
import { parseProviderEndpoint } from "./provider-endpoint.ts";
import { providerKinds } from "./provider-kinds.ts";
import { parseDuration } from "./quantities.ts";
import { type RoleName, roleNames } from "./role-name.ts";
import type { DescribedSandboxOptions } from "./session/described-sandbox.ts";
import { parseWindow, type Window } from "./simulation-window.ts";
import { type AwaitedPhase, awaitedPhases } from "./wait-verdict.ts";

type AuthorityKind = (typeof authorityKinds)[number];
const authorityKinds = ["service", "sandbox", "operator"] as const;

/** Options that every command has. */
export interface CommonOptions {
  readonly json?: boolean;
  readonly directory?: string;
  readonly clientFile?: string;
  readonly color: boolean;
}

/** How the tree runs a command: makes its context, runs it, keeps its exit code. */
export type Runner = (options: CommonOptions, run: (context: CommandContext) => Promise<number>) => Promise<void>;

/**
 * The tree of commands. Only the tree: what a command does is loaded when it is run, so that starting costs the same
 * however many commands there are.
 */
export function createCommandTree(runner: Runner, version: string): Command {
  const program = new Command("sandgate")
    .description("Identity and an egress gate for every sandbox.")
    .version(version, "-V, --version", "print the version")
    .helpOption("-h, --help", "show this help")
    .helpCommand(false)
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .configureHelp({ sortSubcommands: false, sortOptions: false });

  program.commandsGroup("Run:");
  command(program, "run")
    .summary("run a command in a new sandbox, and show what it tried to reach")
    .description(
      "Runs a command in a new sandbox with live standard streams, prints what it tried to reach, removes the sandbox and exits as the command did. Starts the suite if none runs.",
    )
    .argument("<command...>", "the command and its arguments; put -- before it")
    .option(
      "-a, --allow <host[:port]>",
      "a host it may reach, on ports 80 and 443 or on this one, or a @group; repeatable",
      collect,
      [],
    )
    .option("-p, --policy <file>", "a policy in YAML or JSON, instead of --allow")
    .option("--provider <name>", "a provider whose secret it may use; repeatable", collect, [])
    .option("-n, --name <name>", "the sandbox's name")
    .option("-i, --image <image>", "what it sees as its file system, with the docker driver (default: the suite's)")
    .option("-k, --keep", "leave the sandbox running afterwards")
    .option("-e, --env <name=value>", "an environment variable, not for secrets; repeatable", collect, [])
    .option("-w, --cwd <directory>", "where to run it, relative to the workspace")
    .option("-t, --tty", "give it a terminal (default: when both ends are one)")
    .option("-T, --no-tty", "give it no terminal")
    .option("--no-stdin", "give it no standard input")
    .option("--no-table", "do not print what it tried to reach")
    .option("--timings", "print where the time went")
    .passThroughOptions()
    .action(
      action<[string[]], RunOptions>(runner, async (context, [words], options) =>
        (await import("./commands/run.ts")).run(context, words, options),
      ),
    );
  command(program, "exec")
    .summary("run a command in a sandbox that is READY")
    .argument("<sandbox>", "name or id")
    .argument("<command...>", "the command and its arguments")
    .option("-e, --env <name=value>", "an environment variable, not for secrets; repeatable", collect, [])
    .option("-w, --cwd <directory>", "where to run it, relative to the workspace")
    .option("-i, --interactive", "give it standard input (the default)")
    .option("-t, --tty", "give it a terminal (default: when both ends are one)")
    .option("-T, --no-tty", "give it no terminal")
    .option("--no-stdin", "give it no standard input")
    .option("-d, --detach", "leave it to itself and print its id, for `sandgate attach`")
    .option("--timeout <duration>", "end it after this long", duration)
    .passThroughOptions()
    .action(
      action<[string, string[]], ExecOptions>(runner, async (context, [sandbox, words], options) =>
        (await import("./commands/exec.ts")).exec(context, sandbox, words, options),
      ),
    );
  command(program, "attach")
    .summary("follow a process in a sandbox, now or after its end")
    .description(
      "Prints its output and passes standard input on, as long as it runs, and exits as it did. Several may be attached to one process. The second interruption leaves it; on a terminal Ctrl-P Ctrl-Q does.",
    )
    .argument("<sandbox>", "name or id")
    .argument("<process>", "its id; `sandgate ps` lists them")
    .option("--offset <bytes>", "from this byte of its output on", count, 0)
    .option("--no-stdin", "pass no standard input on")
    .action(
      action<[string, string], AttachOptions>(runner, async (context, [sandbox, processId], options) =>
        (await import("./commands/attach.ts")).attach(context, sandbox, processId, options),
      ),
    );
  command(program, "ps")
    .summary("list the processes that were started in a sandbox, with what they use")
    .argument("<sandbox>", "name or id")
    .option("-a, --all", "those that have ended, too")
    .option("-q, --quiet", "ids only")
    .action(
      action<[string], ListProcessesOptions>(runner, async (context, [sandbox], options) =>
        (await import("./commands/ps.ts")).listProcesses(context, sandbox, options),
      ),
    );
  command(program, "kill")
    .summary("send a signal to a process in a sandbox")
    .argument("<sandbox>", "name or id")
    .argument("<process>", "its id; `sandgate ps` lists them")
    .option("-s, --signal <name>", "TERM, INT, KILL, …", "TERM")
    .addOption(
      new Option("--target <whom>", "the command alone, its process group, or everything that it started")
        .choices(["process", "group", "tree"] satisfies TargetName[])
        .default("group" satisfies TargetName),
    )
    .action(
      action<[string, string], KillOptions>(runner, async (context, [sandbox, processId], options) =>
        (await import("./commands/kill.ts")).kill(context, sandbox, processId, options),
      ),
    );
  command(program, "cp")
    .summary("copy a file or a directory into a sandbox, or out of it")
    .description(
      "One side is SANDBOX:PATH, PATH relative to /workspace. A directory is copied into one that is there already, else as PATH. Links that lead out of a copied directory do not come out of a sandbox.",
    )
    .argument("<source>", "a path, or SANDBOX:PATH")
    .argument("<destination>", "SANDBOX:PATH, or a path")
    .action(
      action<[string, string], unknown>(runner, async (context, [source, destination]) =>
        (await import("./commands/cp.ts")).copy(context, source, destination),
      ),
    );
  command(program, "port-forward")
    .summary("reach ports that processes in a sandbox listen on, until it is interrupted")
    .argument("<sandbox>", "name or id")
    .argument("<ports...>", "REMOTE, or LOCAL:REMOTE; 0:REMOTE takes any free port")
    .option("--address <address>", "where to listen on this machine", "127.0.0.1")
    .action(
      action<[string, string[]], PortForwardOptions>(runner, async (context, [sandbox, ports], options) =>
        (await import("./commands/port-forward.ts")).forwardPorts(context, sandbox, ports, options),
      ),
    );

  program.commandsGroup("Sandboxes:");
  describedSandbox(
    command(program, "create")
      .summary("create a sandbox")
      .argument("[name]", "its name; default: the service makes one")
      .argument("[command...]", "its main process, after --")
      .option("--template <name>", "make it from this template; the other options take the place of what it says"),
  )
    .option("--no-wait", "do not wait until it is READY")
    .option("--timeout <duration>", "give up waiting after this long", duration, 60_000)
    .action(
      action<[string | undefined, string[]], CreateOptions>(runner, async (context, [name, words], options) =>
        (await import("./commands/create.ts")).createSandbox(context, name, words, options),
      ),
    );
  command(program, "ls")
    .alias("list")
    .summary("list the sandboxes")
    .option("--all", "deleted ones, too")
    .option("-l, --label <key=value>", "only those with this label; repeatable: with all of them", collect, [])
    .option("--phase <phase>", "only those in this phase; repeatable: in any of them", phases, [])
    .option("--owner <user-id>", "only those of this user: `sandgate whoami` prints your id")
    .option("-q, --quiet", "ids only")
    .option("--limit <n>", "at most so many, newest first", count)
    .action(
      action<[], ListOptions>(runner, async (context, _, options) =>
        (await import("./commands/ls.ts")).listSandboxes(context, options),
      ),
    );
  command(program, "get")
    .summary("show a sandbox")
    .argument("<sandbox>", "name or id")
    .option("--wait", "wait until it is READY, or has failed or ended")
    .option("--timeout <duration>", "give up waiting after this long", duration, 60_000)
    .action(
      action<[string], GetOptions>(runner, async (context, [sandbox], options) =>
        (await import("./commands/get.ts")).getSandbox(context, sandbox, options),
      ),
    );
  command(program, "wait")
    .summary("wait until a sandbox is in a phase; exit code 1 when it will not be, 6 when it was not in time")
    .argument("<sandbox>", "name or id")
    .option("--for <phase>", "READY, COMPLETED, FAILED, STOPPED or DELETED", awaitedPhase, "READY")
    .option("--timeout <duration>", "give up waiting after this long", duration, 60_000)
    .action(
      action<[string], WaitOptions>(runner, async (context, [sandbox], options) =>
        (await import("./commands/wait.ts")).waitForPhase(context, sandbox, options),
      ),
    );
  command(program, "explain")
    .summary("say why a sandbox is as it is, or why a request was let through or denied, and what to type next")
    .argument("<sandbox>", "name or id; or the id of a decision: dec-…")
    .action(
      action<[string], unknown>(runner, async (context, [subject]) =>
        isDecisionId(subject)
          ? (await import("./commands/explain-decision.ts")).printDecisionExplanation(context, subject)
          : (await import("./commands/explain.ts")).explainSandbox(context, subject),
      ),
    );
  command(program, "logs")
    .summary("print the output of a sandbox's main process")
    .argument("<sandbox>", "name or id")
    .option("-f, --follow", "go on until the process ends")
    .option("--offset <bytes>", "from this byte on", count, 0)
    .option("--raw", "leave control characters as they are, also on a terminal")
    .action(
      action<[string], LogsOptions>(runner, async (context, [sandbox], options) =>
        (await import("./commands/logs.ts")).printLogs(context, sandbox, options),
      ),
    );
  command(program, "update")
    .summary("change when a sandbox ends by itself, and its labels")
    .argument("<sandbox>", "name or id")
    .option(
      "--expire-after <duration>",
      "remove it so long from now, instead of when it was to be (30m, 2h, 1d)",
      duration,
    )
    .option("--no-expire-after", "never remove it by its time")
    .option("--idle-timeout <duration>", "stop it when nothing has happened in it for so long", duration)
    .option("--no-idle-timeout", "let it be idle")
    .addOption(new Option("--idle-action <action>", "what to do with it then").choices(idleActionNames))
    .option("-l, --label <key=value>", "add or change a label; repeatable", collect, [])
    .option("--unlabel <key>", "remove a label; repeatable", collect, [])
    .action(
      action<[string], UpdateOptions>(runner, async (context, [sandbox], options) =>
        (await import("./commands/update.ts")).updateSandbox(context, sandbox, options),
      ),
    );
  command(program, "stop")
    .summary("stop sandboxes; what they have written, their policy and their name stay")
    .argument("<sandboxes...>", "names or ids")
    .option("--no-wait", "do not wait until they are STOPPED")
    .option("--timeout <duration>", "give up waiting after this long", duration, 30_000)
    .action(
      action<[string[]], StopOptions>(runner, async (context, [sandboxes], options) =>
        (await import("./commands/stop.ts")).stopSandboxes(context, sandboxes, options),
      ),
    );
  command(program, "start")
    .summary("run sandboxes again that were stopped, completed or failed, with a new identity")
    .argument("<sandboxes...>", "names or ids")
    .option("--no-wait", "do not wait until they are READY")
    .option("--timeout <duration>", "give up waiting after this long", duration, 60_000)
    .action(
      action<[string[]], StartOptions>(runner, async (context, [sandboxes], options) =>
        (await import("./commands/start.ts")).startSandboxes(context, sandboxes, options),
      ),
    );
  command(program, "rm")
    .alias("delete")
    .summary("stop and remove sandboxes")
    .argument("<sandboxes...>", "names or ids")
    .option("--no-wait", "do not wait until they are gone")
    .option("--timeout <duration>", "give up waiting after this long", duration, 30_000)
    .action(
      action<[string[]], RemoveOptions>(runner, async (context, [sandboxes], options) =>
        (await import("./commands/rm.ts")).removeSandboxes(context, sandboxes, options),
      ),
    );
  const template = program.command("template").description("What sandboxes are made from.").helpCommand(false);
  describedSandbox(
    command(template, "create")
      .summary("keep a command, an environment, limits, labels and a policy under a name")
      .argument("<name>", "its name")
      .argument("[command...]", "the main process, after --"),
  ).action(
    action<[string, string[]], DescribedSandboxOptions>(runner, async (context, [name, words], options) =>
      (await import("./commands/template-create.ts")).createTemplate(context, name, words, options),
    ),
  );
  command(template, "ls")
    .alias("list")
    .summary("list the templates")
    .action(
      action<[], unknown>(runner, async (context) =>
        (await import("./commands/template-ls.ts")).listTemplates(context),
      ),
    );
  command(template, "get")
    .summary("show a template")
    .argument("<name>", "its name")
    .action(
      action<[string], unknown>(runner, async (context, [name]) =>
        (await import("./commands/template-get.ts")).getTemplate(context, name),
      ),
    );
  command(template, "rm")
    .alias("delete")
    .summary("delete a template; sandboxes that were made from it stay")
    .argument("<name>", "its name")
    .action(
      action<[string], unknown>(runner, async (context, [name]) =>
        (await import("./commands/template-rm.ts")).removeTemplate(context, name),
      ),
    );
  const quota = program.command("quota").description("How much an organization may have.").helpCommand(false);
  command(quota, "get")
    .summary("show what your organization may have, and has")
    .action(
      action<[], unknown>(runner, async (context) => (await import("./commands/quota-get.ts")).getQuota(context)),
    );
  command(program, "revoke")
    .summary("revoke every credential of a sandbox, everywhere")
    .argument("<sandbox>", "name or id")
    .option("--reason <text>", "why, for the audit log", "")
    .action(
      action<[string], RevokeOptions>(runner, async (context, [sandbox], options) =>
        (await import("./commands/revoke.ts")).revoke(context, sandbox, options),
      ),
    );

  program.commandsGroup("Policy:");
  const policy = program.command("policy").description("What a sandbox may reach.").helpCommand(false);
  command(policy, "get")
    .summary("print a sandbox's policy")
    .argument("<sandbox>", "name or id")
    .option("--revision <n>", "this revision instead of the newest", count, 0)
    .action(
      action<[string], GetPolicyOptions>(runner, async (context, [sandbox], options) =>
        (await import("./commands/policy-get.ts")).getPolicy(context, sandbox, options),
      ),
    );
  command(policy, "set")
    .summary("give a sandbox a policy")
    .argument("<sandbox>", "name or id")
    .argument("[file]", "a policy in YAML or JSON; - is standard input")
    .option("-a, --allow <host[:port]>", "a host it may reach, instead of a file; repeatable", collect, [])
    .option("--expect-revision <n>", "refuse unless this revision is the newest", count, 0)
    .option("--wait", "wait until it is enforced, and say how long that took")
    .option("--timeout <duration>", "give up waiting after this long", duration, 10_000)
    .action(
      action<[string, string | undefined], SetPolicyOptions>(runner, async (context, [sandbox, file], options) =>
        (await import("./commands/policy-set.ts")).setPolicy(context, sandbox, file, options),
      ),
    );
  command(policy, "history")
    .summary("list the revisions of a sandbox's policy")
    .argument("<sandbox>", "name or id")
    .option("--limit <n>", "at most so many, the newest", count, 20)
    .action(
      action<[string], { readonly limit: number }>(runner, async (context, [sandbox], options) =>
        (await import("./commands/policy-history.ts")).printHistory(context, sandbox, options),
      ),
    );
  command(policy, "diff")
    .summary("say what makes one policy of another")
    .argument("<sandbox>", "name or id")
    .argument("<from>", "a revision of its policy, or a file")
    .argument("[to]", "a revision, or a file, instead of the newest revision")
    .action(
      action<[string, string, string | undefined], unknown>(runner, async (context, [sandbox, from, to]) =>
        (await import("./commands/policy-diff.ts")).printDifference(context, sandbox, from, to),
      ),
    );
  command(policy, "rollback")
    .summary("set what a sandbox's policy was in an earlier revision")
    .argument("<sandbox>", "name or id")
    .argument("<revision>", "the earlier revision; it becomes the next one", count)
    .option("--wait", "wait until it is enforced, and say how long that took")
    .option("--timeout <duration>", "give up waiting after this long", duration, 10_000)
    .action(
      action<[string, number], Omit<StorePolicyOptions, "expectRevision">>(
        runner,
        async (context, [sandbox, revision], options) =>
          (await import("./commands/policy-rollback.ts")).rollBack(context, sandbox, revision, options),
      ),
    );
  command(policy, "mode")
    .summary("have a sandbox observed, or its policy enforced")
    .argument("<sandbox>", "name or id")
    .addArgument(
      new Argument("<mode>", "observe lets through what no rule allows, and records it").choices([
        "observe",
        "enforce",
      ]),
    )
    .action(
      action<[string, ModeName], unknown>(runner, async (context, [sandbox, mode]) =>
        (await import("./commands/policy-mode.ts")).setMode(context, sandbox, mode),
      ),
    );
  command(policy, "test")
    .summary("say what a policy would change about what is on record; exit code 1 where it newly denies something")
    .argument("<sandbox>", "name or id")
    .argument("<file>", "a policy in YAML or JSON; - is standard input")
    .option("--against <window>", "last-7d and the like, or how many of the newest decisions", window, {
      maxDecisions: 10_000,
      maxAgeMs: undefined,
    })
    .option("--strict", "exit code 1 also where it newly allows something")
    .action(
      action<[string, string], TestPolicyOptions>(runner, async (context, [sandbox, file], options) =>
        (await import("./commands/policy-test.ts")).testPolicy(context, sandbox, file, options),
      ),
    );
  command(policy, "propose")
    .summary("make proposals of what was denied, or would have been")
    .argument("<sandbox>", "name or id")
    .option("--decision <id>", "of this decision alone; repeatable", collect, [])
    .option("--generalize", "one rule for hosts below one name, never for a public suffix")
    .option("-a, --allow <host[:port]>", "propose this host instead; repeatable", collect, [])
    .option("--reason <text>", "why", "")
    .action(
      action<[string], ProposeOptions>(runner, async (context, [sandbox], options) =>
        (await import("./commands/policy-propose.ts")).propose(context, sandbox, options),
      ),
    );
  command(policy, "proposals")
    .summary("list what was proposed for a sandbox")
    .argument("<sandbox>", "name or id")
    .addOption(
      new Option("--state <state>", "only these").choices([
        "pending",
        "approved",
        "rejected",
        "undone",
      ] satisfies StateName[]),
    )
    .option("--limit <n>", "at most so many, the newest", count, 100)
    .action(
      action<[string], ListProposalsOptions>(runner, async (context, [sandbox], options) =>
        (await import("./commands/policy-proposals.ts")).listProposals(context, sandbox, options),
      ),
    );
  command(policy, "review")
    .summary("show a proposal with warnings, and with what its approval would change")
    .argument("<sandbox>", "name or id")
    .argument("<proposal>", "its id")
    .action(
      action<[string, string], unknown>(runner, async (context, [sandbox, proposal]) =>
        (await import("./commands/policy-review.ts")).reviewProposal(context, sandbox, proposal),
      ),
    );
  command(policy, "draft")
    .summary("print the policy with everything that is pending, and what that would change")
    .argument("<sandbox>", "name or id")
    .action(
      action<[string], unknown>(runner, async (context, [sandbox]) =>
        (await import("./commands/policy-draft.ts")).printDraft(context, sandbox),
      ),
    );
  command(policy, "edit")
    .summary("put other rules into a pending proposal")
    .argument("<sandbox>", "name or id")
    .argument("<proposal>", "its id")
    .argument("[file]", "a policy in YAML or JSON with rules alone; - is standard input")
    .option("-a, --allow <host[:port]>", "a host, instead of a file; repeatable", collect, [])
    .requiredOption("--expect-version <n>", "the version that you have seen", count)
    .action(
      action<[string, string, string | undefined], EditProposalOptions>(
        runner,
        async (context, [sandbox, proposal, file], options) =>
          (await import("./commands/policy-edit.ts")).editProposal(context, sandbox, proposal, file, options),
      ),
    );
  command(policy, "approve")
    .summary("add a proposal's rules to the policy")
    .argument("<sandbox>", "name or id")
    .argument("<proposal>", "its id")
    .requiredOption("--expect-version <n>", "the version that you have reviewed", count)
    .option("--ttl <duration>", "for this long (30m, 12h, 7d; default: for good)", duration)
    .option("--reason <text>", "why", "")
    .action(
      action<[string, string], ApproveOptions>(runner, async (context, [sandbox, proposal], options) =>
        (await import("./commands/policy-decide.ts")).approveProposal(context, sandbox, proposal, options),
      ),
    );
  command(policy, "reject")
    .summary("reject a proposal")
    .argument("<sandbox>", "name or id")
    .argument("<proposal>", "its id")
    .requiredOption("--expect-version <n>", "the version that you have reviewed", count)
    .option("--reason <text>", "why", "")
    .action(
      action<[string, string], DecideOptions>(runner, async (context, [sandbox, proposal], options) =>
        (await import("./commands/policy-decide.ts")).rejectProposal(context, sandbox, proposal, options),
      ),
    );
  command(policy, "undo")
    .summary("take the rules of an approved proposal out of the policy again")
    .argument("<sandbox>", "name or id")
    .argument("<proposal>", "its id")
    .requiredOption("--expect-version <n>", "the version that you have seen", count)
    .option("--reason <text>", "why", "")
    .action(
      action<[string, string], DecideOptions>(runner, async (context, [sandbox, proposal], options) =>
        (await import("./commands/policy-decide.ts")).undoProposal(context, sandbox, proposal, options),
      ),
    );
  command(policy, "models")
    .summary("list the models that a sandbox is told of, with placeholders for credentials")
    .argument("<sandbox>", "name or id")
    .action(
      action<[string], unknown>(runner, async (context, [sandbox]) =>
        (await import("./commands/policy-models.ts")).printModels(context, sandbox),
      ),
    );
  command(policy, "groups")
    .summary("list the groups of hosts that a policy can name, such as @python; needs no suite")
    .action(
      action<[], unknown>(runner, async (context) =>
        (await import("./commands/policy-groups.ts")).printHostGroups(context),
      ),
    );
  command(policy, "lint")
    .summary("check a policy file; needs no suite")
    .argument("<file>", "a policy in YAML or JSON; - is standard input")
    .action(
      action<[string], unknown>(runner, async (context, [file]) =>
        (await import("./commands/policy-lint.ts")).lint(context, file),
      ),
    );
  command(program, "decisions")
    .summary("list what a sandbox tried to reach, and the verdicts")
    .argument("<sandbox>", "name or id")
    .option("-f, --follow", "go on with new ones as they come")
    .option("--denied", "only those that were denied")
    .option("--limit <n>", "at most so many, the newest", count, 100)
    .action(
      action<[string], DecisionsOptions>(runner, async (context, [sandbox], options) =>
        (await import("./commands/decisions.ts")).printDecisions(context, sandbox, options),
      ),
    );

  addProviderCommands(program, runner);

  program.commandsGroup("Identity:");
  command(program, "login")
    .summary("log in; every command after it is yours")
    .description(
      "Asks for the password at the terminal, or takes it from standard input. The session is kept for this user alone and renewed by itself.",
    )
    .argument("[name]", "your login name; with --oidc: the provider's name")
    .option("--api-key", "ask for an API key instead, for a program")
    .option("--oidc", "log in at the suite's OpenID provider, in a browser on this machine")
    .option("--device", "with --oidc: in a browser on any machine, with a code")
    .action(
      action<[string | undefined], LoginOptions & OidcLoginOptions>(runner, async (context, [name], options) =>
        options.oidc === true || options.device === true
          ? (await import("./commands/login-oidc.ts")).loginOidc(context, name, options)
          : (await import("./commands/login.ts")).login(context, name, options),
      ),
    );
  command(program, "logout")
    .summary("end the login")
    .option("--everywhere", "every session of yours, on every machine")
    .action(
      action<[], LogoutOptions>(runner, async (context, _, options) =>
        (await import("./commands/logout.ts")).logout(context, options),
      ),
    );
  command(program, "password")
    .summary("change your password; all other sessions of yours end")
    .argument("[name]", "your login name; default: who is logged in")
    .action(
      action<[string | undefined], unknown>(runner, async (context, [name]) =>
        (await import("./commands/password.ts")).changePassword(context, name),
      ),
    );
  command(program, "whoami")
    .summary("say who you are, as every service sees it")
    .action(action<[], unknown>(runner, async (context) => (await import("./commands/whoami.ts")).whoami(context)));
  const token = command(program, "token");
  token
    .summary("print an access token of yours (15 minutes at most), for grpcurl and the like")
    .action(action<[], unknown>(runner, async (context) => (await import("./commands/token.ts")).printToken(context)));
  command(token, "mint")
    .summary("mint a container token for a sandbox")
    .argument("<sandbox>", "name or id")
    .option("--audience <audience>", "who is to accept it (default: the egress proxy)")
    .option("--host <host>", "narrow it to this host, if the sandbox's policy allows it; repeatable", collect, [])
    .option("--life <duration>", "how long it lives, 1m to 4h (default: the service's)", duration)
    .option("--hipaa", "mark it as regulated by HIPAA")
    .option("--pci", "mark it as compliant with PCI")
    .option("--certificate <file>", "bind it to the client certificate in this file")
    .option("--out <file>", "write it to this file, closed to others, instead of standard output")
    .action(
      action<[string], MintTokenOptions>(runner, async (context, [sandbox], options) =>
        (await import("./commands/token-mint.ts")).mintToken(context, sandbox, options),
      ),
    );
  command(token, "inspect")
    .summary("show what a token on standard input says; verifies nothing, needs no suite")
    .option("--file <file>", "read it from this file")
    .action(
      action<[], InspectTokenOptions>(runner, async (context, _, options) =>
        (await import("./commands/token-inspect.ts")).inspectToken(context, options),
      ),
    );
  command(token, "verify")
    .summary("verify the container token on standard input, by the suite or without it")
    .description(
      "Says whether a relying party may take a container token, and what it says. Asks the suite, which knows of revocations too; with --keys it needs no suite and knows of none. Exits with 4 for a token that is not to be taken.",
    )
    .requiredOption("--audience <audience>", "the relying party that asks")
    .option("--issuer <url>", "who must have minted it, https://auth.<trust domain> (default: the suite)")
    .option("--keys <file|url>", "verify by this JWK set, in a file or over https, instead of asking the suite")
    .option("--ca <file>", "PEM of the authorities that vouch for the server of --keys (default: the machine's)")
    .option("--certificate <file>", "the client certificate that it came with, for a token that is bound to one")
    .option("--file <file>", "read it from this file")
    .action(
      action<[], VerifyTokenOptions>(runner, async (context, _, options) =>
        (await import("./commands/token-verify.ts")).verifyContainerToken(context, options),
      ),
    );
  command(token, "revoke")
    .summary("revoke the container token on standard input, everywhere")
    .option("--file <file>", "read it from this file")
    .option("--reason <text>", "why, for the audit log", "")
    .action(
      action<[], RevokeTokenOptions>(runner, async (context, _, options) =>
        (await import("./commands/session-revoke.ts")).revokeToken(context, options),
      ),
    );
  const session = program.command("session").description("The live sessions of container tokens.").helpCommand(false);
  command(session, "ls")
    .summary("list them, newest first")
    .option("--sandbox <sandbox>", "only those of this sandbox (name or id)")
    .option("--user <id>", "only those of this user")
    .option("--limit <n>", "at most so many, the newest", count, 100)
    .action(
      action<[], ListSessionsOptions>(runner, async (context, _, options) =>
        (await import("./commands/session-ls.ts")).listSessions(context, options),
      ),
    );
  command(session, "get")
    .summary("show one")
    .argument("<id>", "the token's id (jti)")
    .action(
      action<[string], unknown>(runner, async (context, [id]) =>
        (await import("./commands/session-ls.ts")).getSession(context, id),
      ),
    );
  command(session, "revoke")
    .summary("revoke the tokens of sessions, everywhere")
    .argument("[id]", "the token's id (jti)")
    .option("--sandbox <sandbox>", "all of this sandbox (name or id)")
    .option("--user <id>", "all of this user")
    .option("--all", "all of your organization")
    .option("--reason <text>", "why, for the audit log", "")
    .action(
      action<[string | undefined], RevokeSessionOptions>(runner, async (context, [id], options) =>
        (await import("./commands/session-revoke.ts")).revokeSessions(context, id, options),
      ),
    );
  const audit = command(program, "audit")
    .summary("list the audit logs, oldest first")
    .option("--sandbox <sandbox>", "only events about this sandbox (name or id)")
    .option("--action <action>", "only events with this action, such as call.denied")
    .addOption(new Option("--service <service>", "only this service's log").choices(["auth", "sandbox", "policy"]))
    .option("--limit <n>", "at most so many of each service, the newest", count, 50)
    .action(
      action<[], AuditOptions>(runner, async (context, _, options) =>
        (await import("./commands/audit.ts")).printAudit(context, options),
      ),
    );
  command(audit, "verify")
    .summary(
      "check every audit log against its chain of hashes; exits with 1 and names the first record that was changed or removed",
    )
    .option(
      "--since <file>",
      "what an earlier check printed with --json, kept elsewhere: finds out logs that were rewritten whole",
    )
    .action(
      action<[], VerifyAuditOptions>(runner, async (context, _, options) =>
        (await import("./commands/audit-verify.ts")).verifyAudit(context, options),
      ),
    );
  const keys = program.command("keys").description("What tokens are signed with.").helpCommand(false);
  command(keys, "ls")
    .alias("list")
    .summary("list the signing keys")
    .option("--all", "those of the past, too")
    .action(
      action<[], ListKeysOptions>(runner, async (context, _, options) =>
        (await import("./commands/keys-ls.ts")).listKeys(context, options),
      ),
    );
  command(keys, "rotate")
    .summary("sign with new keys; no token becomes invalid")
    .addOption(
      new Option("--algorithm <algorithm>", "only the keys of this algorithm").choices([
        "EdDSA",
        "ES256",
        "workload-ES256",
        "workload-RS256",
      ]),
    )
    .action(
      action<[], RotateKeysOptions>(runner, async (context, _, options) =>
        (await import("./commands/keys-rotate.ts")).rotateKeys(context, options),
      ),
    );
  command(keys, "revoke")
    .summary("refuse everything that a key has signed, everywhere, at once")
    .argument("<kid>", "the key's id")
    .option("--reason <text>", "why, for the audit log", "")
    .action(
      action<[string], RevokeKeyOptions>(runner, async (context, [kid], options) =>
        (await import("./commands/keys-revoke.ts")).revokeKey(context, kid, options),
      ),
    );

  command(keys, "reseal")
    .summary("replace the key that the signing keys in the database are sealed with, while the suite runs")
    .action(
      action<[], unknown>(runner, async (context) => (await import("./commands/keys-reseal.ts")).resealKeys(context)),
    );

  const pki = program.command("pki").description("Certificates of the suite on this machine.").helpCommand(false);
  command(pki, "operator")
    .summary("issue a certificate for grpcurl or a program that runs the suite; its key is written, never printed")
    .argument("<name>", "whose: lower-case letters, digits and . _ -")
    .addOption(new Option("--role <role>", "what they may do").choices(roleNames).default("viewer"))
    .option("--days <n>", "how long it is good for, 90 at most", count, 90)
    .option(
      "--out <directory>",
      "where to write <name>.pem and <name>.key.pem (default: operators, beside the authorities)",
    )
    .action(
      action<[string], OperatorOptions>(runner, async (context, [name], options) =>
        (await import("./commands/pki-operator.ts")).issueOperator(context, name, options),
      ),
    );
  command(pki, "ls")
    .alias("list")
    .summary("list the operators' certificates")
    .option("--all", "those that have expired or are revoked, too")
    .action(
      action<[], ListOperatorsOptions>(runner, async (context, _, options) =>
        (await import("./commands/pki-ls.ts")).listOperators(context, options),
      ),
    );
  command(pki, "revoke")
    .summary("refuse certificates of operators, everywhere, at once")
    .argument("[name|serial]", "an operator's name, for all of them, or a serial number")
    .option("--file <file>", "the certificate in this file, though `pki ls` does not have it")
    .option("--reason <text>", "why, for the audit log", "")
    .action(
      action<[string | undefined], RevokeOperatorOptions>(runner, async (context, [subject], options) =>
        (await import("./commands/pki-revoke.ts")).revokeOperator(context, subject, options),
      ),
    );
  command(pki, "show")
    .summary("show what the certificates of a file say; verifies nothing, needs no suite")
    .argument("<file>", "certificates in PEM")
    .action(
      action<[string], unknown>(runner, async (context, [file]) =>
        (await import("./commands/pki-show.ts")).showCertificates(context, file),
      ),
    );
  command(pki, "rotate")
    .summary("replace an authority while the suite runs; no valid certificate is refused")
    .description(
      "Publishes the next authority to every program, has it issue, and, once what the one before issued has run out, retires that. Run it again to go on; it also goes on where it was interrupted.",
    )
    .addArgument(new Argument("<authority>", "whose certificates it vouches for").choices(authorityKinds))
    .option("--step", "stop after each step, to give the next authority to who is elsewhere")
    .option("--now", "retire the one before at once: others may know its key")
    .action(
      action<[AuthorityKind], RotateAuthorityOptions>(runner, async (context, [kind], options) =>
        (await import("./commands/pki-rotate.ts")).rotate(context, kind, options),
      ),
    );

  command(program, "certgen")
    .summary("make the certificates and first keys of an installation; run twice, it changes nothing")
    .requiredOption("--out <directory>", "where to; its jwt folder is a key directory for Auth")
    .option("--trust-domain <domain>", "trust domain of every certificate", "sandgate.local")
    .option("--operator-user <id>", "user of the operator's certificate (default: as it is there, else a new id)")
    .option("--kubernetes <release>", "write the Secrets of this release, too, as manifests")
    .action(
      action<[], CertgenOptions>(runner, async (context, _, options) =>
        (await import("./commands/certgen.ts")).certgen(context, options),
      ),
    );
  command(program, "keygen")
    .summary("make the key pair of container tokens (ES256), and its public half as PEM, JWK and JWKS")
    .requiredOption("--out <directory>", "where to; a key that is there is kept")
    .action(
      action<[], KeygenOptions>(runner, async (context, _, options) =>
        (await import("./commands/keygen.ts")).keygen(context, options),
      ),
    );

  program.commandsGroup("Users:");
  const user = program.command("user").description("The users of your organization.").helpCommand(false);
  command(user, "invite")
    .summary("invite somebody, or let a user set a new password")
    .argument("<login>", "the login name, such as an e-mail address")
    .addOption(new Option("--role <role>", "what they may do").choices(roleNames).default("viewer"))
    .action(
      action<[string], InviteOptions>(runner, async (context, [login], options) =>
        (await import("./commands/user-invite.ts")).inviteUser(context, login, options),
      ),
    );
  command(user, "accept-invitation")
    .summary("make your account from an invitation, and log in")
    .description("Asks for the invitation and a password at the terminal, or takes each from a line of standard input.")
    .option("--name <name>", "your name (default: the login name)")
    .action(
      action<[], AcceptOptions>(runner, async (context, _, options) =>
        (await import("./commands/user-accept-invitation.ts")).acceptInvitation(context, options),
      ),
    );

  command(user, "ls")
    .alias("list")
    .summary("list the users and the open invitations")
    .action(action<[], unknown>(runner, async (context) => (await import("./commands/user-ls.ts")).listUsers(context)));
  for (const [kind, summary] of [
    ["disable", "end everything that a user holds, at once, and let them in no more"],
    ["enable", "let a disabled user log in again"],
  ] as const)
    command(user, kind)
      .summary(summary)
      .argument("<user>", "login name or id")
      .action(
        action<[string], unknown>(runner, async (context, [name]) =>
          (await import("./commands/user-change.ts")).changeUser(context, name, { kind }),
        ),
      );
  command(user, "set-role")
    .summary("give a user another role")
    .argument("<user>", "login name or id")
    .addArgument(new Argument("<role>", "what they may do").choices(roleNames))
    .action(
      action<[string, RoleName], unknown>(runner, async (context, [name, role]) =>
        (await import("./commands/user-change.ts")).changeUser(context, name, { kind: "set-role", role }),
      ),
    );
  command(user, "withdraw-invitation")
    .summary("withdraw an invitation")
    .argument("<invitation>", "login name or id")
    .action(
      action<[string], unknown>(runner, async (context, [invitation]) =>
        (await import("./commands/user-withdraw-invitation.ts")).withdrawInvitation(context, invitation),
      ),
    );
  command(user, "import")
    .summary("make an account with the password hash of another system")
    .description("Takes the hash (argon2id or bcrypt) from standard input. The first login replaces a bcrypt hash.")
    .argument("<login>", "the login name")
    .addOption(new Option("--role <role>", "what they may do").choices(roleNames).default("viewer"))
    .option("--name <name>", "the person's name (default: the login name)")
    .action(
      action<[string], ImportOptions>(runner, async (context, [login], options) =>
        (await import("./commands/user-import.ts")).importUser(context, login, options),
      ),
    );
  const organization = program
    .command("organization")
    .description("The organizations of the suite, for who runs it.")
    .helpCommand(false);
  command(organization, "create")
    .summary("make an organization and invite its first administrator")
    .argument("<name>", "its name")
    .requiredOption("--admin <login>", "login name of the administrator")
    .action(
      action<[string], CreateOrganizationOptions>(runner, async (context, [name], options) =>
        (await import("./commands/organization-create.ts")).createOrganization(context, name, options),
      ),
    );
  command(program, "sign-up")
    .summary("make an account and an organization of your own, where the suite is open to anybody")
    .description("Asks for the password at the terminal, or takes it from standard input.")
    .argument("<login>", "the login name")
    .requiredOption("--organization <name>", "the organization's name")
    .option("--name <name>", "your name (default: the login name)")
    .action(
      action<[string], SignUpOptions>(runner, async (context, [login], options) =>
        (await import("./commands/sign-up.ts")).signUp(context, login, options),
      ),
    );

  const apiKey = program.command("api-key").description("Keys of programs that act for you.").helpCommand(false);
  command(apiKey, "create")
    .summary("make a key for a program")
    .argument("<name>", "what it is for")
    .addOption(new Option("--role <role>", "the most that the program may do").choices(roleNames).default("viewer"))
    .option("--expires <duration>", "refuse it after this long (12h, 90d; default: never)", duration)
    .action(
      action<[string], CreateApiKeyOptions>(runner, async (context, [name], options) =>
        (await import("./commands/api-key-create.ts")).createApiKey(context, name, options),
      ),
    );
  command(apiKey, "ls")
    .alias("list")
    .summary("list your keys")
    .option("--all", "those of every user of the organization; for administrators")
    .action(
      action<[], ListApiKeysOptions>(runner, async (context, _, options) =>
        (await import("./commands/api-key-ls.ts")).listApiKeys(context, options),
      ),
    );
  command(apiKey, "revoke")
    .summary("refuse a key, and what it was exchanged for, everywhere, at once")
    .argument("<id>", "the key's id")
    .action(
      action<[string], unknown>(runner, async (context, [id]) =>
        (await import("./commands/api-key-revoke.ts")).revokeApiKey(context, id),
      ),
    );

  program.commandsGroup("Access envelope:");
  const envelope = program.command("envelope").description("The access envelope.").helpCommand(false);
  command(envelope, "sign")
    .summary("print a token that opens an access envelope, signed with your issuer's key; needs no suite")
    .requiredOption("--key <file>", "the private key, a JWK or PEM, closed to others: Ed25519, P-256 or RSA")
    .requiredOption("--issuer <issuer>", "the `iss`, as the envelope's tokens.issuer")
    .requiredOption("--machine <machine>", "the `aud`, as the envelope's machine")
    .requiredOption(
      "--subject <subject>",
      "the `sub`: the envelope's service, or the client's address in mode client-ip",
    )
    .option("--client-address <address>", "the claim `client_ip`, for subject_mode both")
    .option("--kid <kid>", "the key's id (default: the JWK's, or its RFC 7638 thumbprint)")
    .option("--life <duration>", "how long it lives", duration, 60_000)
    .action(
      action<[], SignEnvelopeTokenOptions>(runner, async (context, _, options) =>
        (await import("./commands/envelope-sign.ts")).signEnvelopeToken(context, options),
      ),
    );
  envelopeTarget(
    command(envelope, "allow").summary("have this machine let in until the lease ends or you interrupt it"),
  ).action(
    action<[], EnvelopeOptions>(runner, async (context, _, options) =>
      (await import("./commands/envelope-allow.ts")).allowByEnvelope(context, options),
    ),
  );
  envelopeTarget(command(envelope, "exec").summary("run a command while an envelope lets this machine in"))
    .argument("<command...>", "the command and its arguments; SERVICE_HOSTNAME and SERVICE_URL tell it where to go")
    .passThroughOptions()
    .action(
      action<[string[]], EnvelopeOptions>(runner, async (context, [words], options) =>
        (await import("./commands/envelope-exec.ts")).execInEnvelope(context, words, options),
      ),
    );
  command(envelope, "status")
    .summary("show who is let in by an envelope on this machine, until when, and by whose word")
    .requiredOption("--admin-port <port>", "the envelope's admin.port", port)
    .action(
      action<[], EnvelopeStatusOptions>(runner, async (context, _, options) =>
        (await import("./commands/envelope-status.ts")).showEnvelopeStatus(context, options),
      ),
    );

  program.commandsGroup("Suite on this machine:");
  command(program, "up")
    .summary("start the suite, with its own database and certificates")
    .option("--separate", "one process for each service; stays so until --all-in-one")
    .addOption(new Option("--all-in-one", "one process for all services (the default)").conflicts("separate"))
    .option("--foreground", "stay, with the logs on standard error; Ctrl-C ends the suite")
    .option("--edge-port <port>", "port of the edge listener (the first of three with --separate)", port)
    .option("--mtls-port <port>", "port of the mTLS listener (the first of three with --separate)", port)
    .option("--web-port <port>", "port of the web front: gRPC-Web, Connect and JSON", port)
    .option("--allow-origin <origin>", "web pages of this origin may call the web front; repeatable", collect, [])
    .addOption(
      new Option("--driver <driver>", "what sandboxes run on; stays so (default: local)").choices(["local", "docker"]),
    )
    .option("--image <image>", "docker: the image of sandboxes that ask for none")
    .option(
      "--allow-image <image>",
      "docker: an image that may be asked for, * behind for many; repeatable",
      collect,
      [],
    )
    .option("--docker-socket <path>", "docker: the engine's socket (default: /var/run/docker.sock)")
    .option("--sandbox-memory <bytes>", "docker: memory of one sandbox, all its processes together", count)
    .option("--sandbox-cpus <n>", "docker: processors' worth of time of one sandbox", count)
    .option("--workspace-size <bytes>", "docker: bounds /workspace, which is then in memory and lost at a stop", count)
    .addOption(
      new Option("--min-isolation <kind>", "docker: refuse to run sandboxes with less").choices([
        "container",
        "gvisor",
      ]),
    )
    .option("--database-url-file <file>", "use the PostgreSQL whose URL is in this file")
    .option(
      "--development-origin <host:port=address:port>",
      "let this destination lead to a server on this machine; for development, repeatable",
      collect,
      [],
    )
    .option("--timeout <duration>", "give up after this long", duration, 60_000)
    .action(
      action<[], UpOptions>(runner, async (context, _, options) =>
        (await import("./commands/up.ts")).up(context, options),
      ),
    );
  command(program, "status")
    .summary("show the suite's processes and whether they are ready")
    .action(action<[], unknown>(runner, async (context) => (await import("./commands/status.ts")).status(context)));
  command(program, "down")
    .summary("end the suite")
    .option("--keep", "leave the sandboxes for the next `up`")
    .option("-y, --yes", "remove running sandboxes without asking")
    .option("--timeout <duration>", "kill what has not ended after this long", duration, 20_000)
    .action(
      action<[], DownOptions>(runner, async (context, _, options) =>
        (await import("./commands/down.ts")).down(context, options),
      ),
    );
  command(program, "client-file")
    .summary("print what users of other machines need to reach this suite; holds no secret")
    .action(
      action<[], unknown>(runner, async (context) =>
        (await import("./commands/client-file.ts")).printClientFile(context),
      ),
    );
  command(program, "doctor")
    .summary("say what isolation this machine can give, and how to get more")
    .action(action<[], unknown>(runner, async (context) => (await import("./commands/doctor.ts")).doctor(context)));

  program.commandsGroup("Help:");
  program
    .command("completion")
    .summary("print the completion of a shell")
    .argument("<shell>", "bash, zsh or fish")
    .action(async (shell: string) =>
      runner({ color: false }, async () => (await import("./commands/completion.ts")).printCompletion(program, shell)),
    );
  program
    .command("help")
    .summary("show the help of a command, or of exit-codes")
    .argument("[topic...]", "a command, or exit-codes")
    .action(async (topic: string[]) =>
      runner({ color: false }, async () => (await import("./commands/help.ts")).printHelp(program, topic)),
    );
  return program;
}

function addProviderCommands(program: Command, runner: Runner): void {
  const provider = program
    .command("provider")
    .description("Secrets that sandboxes use and never see.")
    .helpCommand(false);
  const secretFile = [
    "--file <file>",
    "read the secret from this file (default: standard input, or a prompt)",
  ] as const;
  const withSettings = (name: string): Command =>
    command(provider, name)
      .argument("<name>", "its name")
      .addOption(
        new Option("--kind <kind>", "how the secret is sent").choices(providerKinds).default("bearer" as const),
      )
      .option("--header <name>", "with --kind header: the header's name")
      .option("--username <name>", "with --kind basic: the user name")
      .option(
        "-e, --endpoint <endpoint>",
        "where it may be sent: [https://|http://]host[:port][/path]; repeatable",
        (text: string, previous: readonly ReturnType<typeof parseProviderEndpoint>[]) => [
          ...previous,
          parseProviderEndpoint(text),
        ],
        [],
      )
      .option("--env <variable>", "the variable in which workloads find the placeholder")
      .option("--base-url-env <variable>", "the variable in which workloads find the first endpoint's base URL")
      .option(...secretFile);
  withSettings("create")
    .summary("store a secret that sandboxes may use")
    .action(
      action<[string], ProviderOptions>(runner, async (context, [name], options) =>
        (await import("./commands/provider-create.ts")).createProvider(context, name, options),
      ),
    );
  command(provider, "ls")
    .summary("list the providers of your organization")
    .action(
      action<[], unknown>(runner, async (context) =>
        (await import("./commands/provider-ls.ts")).listProviders(context),
      ),
    );
  command(provider, "get")
    .summary("show one")
    .argument("<name>", "its name")
    .action(
      action<[string], unknown>(runner, async (context, [name]) =>
        (await import("./commands/provider-ls.ts")).getProvider(context, name),
      ),
    );
  command(provider, "rotate")
    .summary("replace the secret; placeholders stay as they are")
    .argument("<name>", "its name")
    .option(...secretFile)
    .action(
      action<[string], Pick<ProviderOptions, "file">>(runner, async (context, [name], options) =>
        (await import("./commands/provider-create.ts")).rotateProvider(context, name, options),
      ),
    );
  withSettings("update")
    .summary("replace the settings, with the secret")
    .action(
      action<[string], ProviderOptions>(runner, async (context, [name], options) =>
        (await import("./commands/provider-create.ts")).updateProvider(context, name, options),
      ),
    );
  command(provider, "rm")
    .summary("remove a provider and its secret; what uses it is cut")
    .argument("<name>", "its name")
    .action(
      action<[string], unknown>(runner, async (context, [name]) =>
        (await import("./commands/provider-rm.ts")).removeProvider(context, name),
      ),
    );
  command(provider, "bind")
    .summary("let a sandbox use a provider: its policy names it")
    .argument("<name>", "the provider's name")
    .argument("<sandbox>", "name or id")
    .action(
      action<[string, string], unknown>(runner, async (context, [name, sandbox]) =>
        (await import("./commands/provider-bind.ts")).bindProvider(context, name, sandbox),
      ),
    );
  command(provider, "unbind")
    .summary("let it use the provider no more; what uses it is cut")
    .argument("<name>", "the provider's name")
    .argument("<sandbox>", "name or id")
    .action(
      action<[string, string], unknown>(runner, async (context, [name, sandbox]) =>
        (await import("./commands/provider-bind.ts")).unbindProvider(context, name, sandbox),
      ),
    );
  command(provider, "env")
    .summary("show the variables by which a sandbox uses its providers")
    .argument("<sandbox>", "name or id")
    .action(
      action<[string], unknown>(runner, async (context, [sandbox]) =>
        (await import("./commands/provider-env.ts")).printProviderEnvironment(context, sandbox),
      ),
    );
}

function command(parent: Command, name: string): Command {
  return parent
    .command(name)
    .helpOption("-h, --help", "show this help")
    .optionsGroup("Options:")
    .addOption(new Option("--json", "print JSON").helpGroup("Common options:"))
    .addOption(new Option("--directory <directory>", "the suite's state directory").helpGroup("Common options:"))
    .addOption(
      new Option("--client-file <file>", "reach the suite that this file describes").helpGroup("Common options:"),
    )
    .addOption(new Option("--no-color", "print no colours").helpGroup("Common options:"));
}

/** The options of commands that have this machine let in by an envelope. */
function envelopeTarget(parent: Command): Command {
  return parent
    .option("--url <url>", "the envelope")
    .option("--token-file <file>", "where the token is; default: standard input")
    .option("--locate <url>", "a locator that names envelopes, with their tokens, instead of --url")
    .option("--envelope-key <key>", "the envelope's name among a locator's URLs", "wss://:4443/v0/envelope/access")
    .option("--ca-file <file>", "the authority of the envelope's certificate, PEM (default: the machine's own)")
    .option("--insecure", "plain http to another machine: who is on the way can use the token");
}

/** Adds the options that say what a sandbox is to be. */
function describedSandbox(parent: Command): Command {
  return parent
    .option("-a, --allow <host[:port]>", "a host it may reach, or a @group; repeatable", collect, [])
    .option("-p, --policy <file>", "a policy in YAML or JSON, instead of --allow")
    .option("--provider <name>", "a provider whose secret it may use; repeatable", collect, [])
    .option("-e, --env <name=value>", "an environment variable of every process in it; repeatable", collect, [])
    .option("-i, --image <image>", "what it sees as its file system, with the docker driver (default: the suite's)")
    .option("-l, --label <key=value>", "mark it, not with secrets; repeatable", collect, [])
    .option("--ttl <duration>", "remove it this long after its creation (30m, 2h, 1d)", duration)
    .option("--idle-timeout <duration>", "stop it when nothing has happened in it for so long", duration)
    .addOption(new Option("--idle-action <action>", "what to do then; default: stop").choices(idleActionNames))
    .option("--max-processes <n>", "at most so many processes", count)
    .option("--max-open-files <n>", "at most so many open files for each process", count)
    .option("--max-memory <bytes>", "writable memory of one process", count)
    .option("--max-file-size <bytes>", "size of one file", count);
}

/** Joins a command of the tree to what it does. The types are those that the tree declares for its arguments and options. */
function action<Values extends readonly unknown[], Options>(
  runner: Runner,
  act: (context: CommandContext, values: Values, options: Options) => Promise<number>,
): (...values: unknown[]) => Promise<void> {
  return (...values) => {
    const options = values.at(-2) as Options & CommonOptions; // commander hands over: arguments, options, the command
    return runner(options, (context) => act(context, values.slice(0, -2) as unknown as Values, options));
  };
}

function collect(value: string, previous: readonly string[]): readonly string[] {
  return [...previous, value];
}

/** "dec-" and 20 characters. */
function isDecisionId(text: string): boolean {
  return /^dec-[a-z2-7]{20}$/.test(text);
}

function awaitedPhase(value: string): AwaitedPhase {
  const phase = awaitedPhases.find((name) => name === value.toUpperCase());
  if (phase === undefined) throw new InvalidArgumentError(`it must be one of ${awaitedPhases.join(", ")}.`);
  return phase;
}

function phases(value: string, previous: readonly PhaseName[]): readonly PhaseName[] {
  const phase = parsePhaseName(value);
  if (phase === undefined) throw new InvalidArgumentError("it must be a phase, such as READY, STOPPED or FAILED.");
  return [...previous, phase];
}

function count(value: string): number {
  if (!/^\d{1,15}$/.test(value)) throw new InvalidArgumentError("it must be a whole number.");
  return Number(value);
}

function window(value: string): Window {
  const parsed = parseWindow(value);
  if (parsed === undefined)
    throw new InvalidArgumentError("it must be last-7d and the like, or a number up to 100000.");
  return parsed;
}

function port(value: string): number {
  const number = count(value);
  if (number < 1 || number > 65_535) throw new InvalidArgumentError("it must be a port from 1 to 65535.");
  return number;
}

function duration(value: string): number {
  const parsed = parseDuration(value);
  if (parsed === undefined) throw new InvalidArgumentError("it must be a duration such as 500ms, 30s, 10m, 2h.");
  return parsed;
}
