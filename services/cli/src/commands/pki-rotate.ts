import { createHash, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type AuthorityKind, developmentAuthority, MAX_SANDBOX_CERTIFICATE_LIFE_MS } from "@sandgate/pki/authority";
import type { CommandContext } from "../command-context.ts";
import { CommandFailure } from "../command-failure.ts";
import { exitCodes } from "../exit-codes.ts";
import { rotateAuthority, type Verifier } from "../pki/rotate-authority.ts";
import { readCertificatesInUse } from "../suite/certificates-in-use.ts";
import { type ProgramName, programNames } from "../suite/programs.ts";
import { findSuiteProcesses } from "../suite/stop-suite.ts";
import type { SuiteDirectories } from "../suite/suite-directories.ts";
import { findSuiteFile, portOf, type SuiteFile } from "../suite/suite-file.ts";
import { withSuiteLock } from "../suite/suite-lock.ts";
import { completeSuitePki } from "../suite/suite-pki.ts";

/** Options of `sandgate pki rotate`. */
export interface RotateAuthorityOptions {
  readonly step?: boolean;
  readonly now?: boolean;
}

const dayMs = 86_400_000;
/** What an authority's certificates live at most, and what clocks may differ. */
const longestLeafLifeMs: Readonly<Record<AuthorityKind, number>> = {
  service: 90 * dayMs,
  sandbox: MAX_SANDBOX_CERTIFICATE_LIFE_MS + 60_000,
  operator: 90 * dayMs,
};
const followTimeoutMs = 30_000;

/** `sandgate pki rotate`: replaces an authority of the suite on this machine, while it runs. */
export async function rotate(
  context: CommandContext,
  kind: AuthorityKind,
  options: RotateAuthorityOptions,
): Promise<number> {
  const { output } = context;
  const directories = context.directories();
  const suite = findSuiteFile(directories.suiteFile);
  if (suite === undefined)
    throw new CommandFailure({
      message: `no suite was started in ${directories.state}`,
      mend: "start one with `sandgate up`",
      exitCode: exitCodes.unavailable,
    });
  const outcome = await withSuiteLock(directories.lockFile, () =>
    rotateAuthority({
      files: developmentAuthority(directories.pki, kind, suite.trustDomain),
      renewLeaves: () => completeSuitePki({ directories, suite, userId: context.environment.userId }),
      longestLeafLifeMs: longestLeafLifeMs[kind],
      retireNow: options.now === true,
      oneStep: options.step === true,
      untilAll: (holds) => untilAll(runningVerifiers(directories, suite, kind), holds, context.interruptions.signal),
      clock: Date.now,
    }),
  );
  const retireTime = outcome.retireAtMs === undefined ? undefined : new Date(outcome.retireAtMs).toISOString();
  const sha256 = createHash("sha256").update(outcome.current.raw).digest("hex");
  output.document({ authority: kind, stage: outcome.stage, current: sha256, retireTime });
  output.line(sentences[outcome.stage](kind, retireTime ?? ""));
  return exitCodes.ok;
}

const sentences = {
  published: (kind: string) =>
    `every program knows the next ${kind} authority; it issues with the next \`sandgate pki rotate ${kind}\``,
  issuing: (kind: string, retireTime: string) =>
    `the next ${kind} authority issues; \`sandgate pki rotate ${kind}\` retires the one before after ${retireTime}`,
  retired: (kind: string) => `the ${kind} authority before is retired: what it issued is refused`,
} as const;

/** Those that only call: nobody shows them the certificate of a sandbox or an operator. */
const clientsOnly: readonly ProgramName[] = ["egress-proxy", "gateway"];

/** Looked for anew each time: a program that is started meanwhile reads the files by itself. */
function runningVerifiers(directories: SuiteDirectories, suite: SuiteFile, kind: AuthorityKind): readonly Verifier[] {
  return findSuiteProcesses(directories)
    .map(({ name }) => programNames.find((program) => program === name))
    .filter((name): name is ProgramName => name !== undefined)
    .filter((name) => kind === "service" || !clientsOnly.includes(name))
    .map((name) => ({
      name,
      certificates: () => readCertificatesInUse(portOf(suite, name, "admin"), 5_000),
      ownCertificate: async () => {
        const { raw } = new X509Certificate(await readFile(join(directories.pki, `${name}.pem`)));
        return createHash("sha256").update(raw).digest("hex");
      },
    }));
}

async function untilAll(
  verifiers: readonly Verifier[],
  holds: (verifier: Verifier) => Promise<boolean>,
  signal: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + followTimeoutMs;
  await Promise.all(
    verifiers.map(async (verifier) => {
      for (;;) {
        signal.throwIfAborted();
        const fault = await holds(verifier).then(
          (held) => (held ? undefined : new Error("not yet")),
          (cause: unknown) => cause,
        );
        if (fault === undefined) return;
        if (performance.now() > deadline)
          throw new CommandFailure(
            {
              message: `${verifier.name} does not follow the authorities' files`,
              mend: "see its log, or `sandgate status`; then the same command goes on where it stopped",
              exitCode: exitCodes.notReady,
            },
            { cause: fault },
          );
        await pause(50, undefined, { signal });
      }
    }),
  );
}
