/** How the command exits. Scripts rely on these: a number is never given another meaning. */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  denied: 4,
  unavailable: 5,
  notReady: 6,
  timedOut: 124,
  sandgateFailed: 125,
  commandNotExecutable: 126,
  commandNotFound: 127,
  signalBase: 128,
} as const;

/** The text of `sandgate help exit-codes`. */
export const exitCodesHelp = `Exit codes

  0    done
  1    failed; the message says why
  2    wrong usage or configuration
  3    no such sandbox, policy or process
  4    denied, or not authenticated
  5    the suite, or one of its services, is not running or cannot be reached
  6    not ready, or not in time

\`sandgate run\`, \`sandgate exec\` and \`sandgate attach\` exit as the command did:

  N      the command exited with N
  128+n  the command was ended by signal n; 137 also where it ran out of memory or met a limit
  124    the command was ended when its time was over
  125    sandgate itself failed; the command may not have run
  126    the command could not be executed
  127    the command was not found in the sandbox
`;

/** The exit code for a status code of google.rpc.Code and an error reason. */
export function exitCodeOfStatus(code: number, reason: string): number {
  switch (code) {
    case 3: // INVALID_ARGUMENT
      return exitCodes.usage;
    case 5: // NOT_FOUND
      return exitCodes.notFound;
    case 7: // PERMISSION_DENIED
    case 16: // UNAUTHENTICATED
      return exitCodes.denied;
    case 14: // UNAVAILABLE
      return exitCodes.unavailable;
    case 4: // DEADLINE_EXCEEDED
      return exitCodes.notReady;
    case 9: // FAILED_PRECONDITION
      return reason === "SANDBOX_NOT_READY" ? exitCodes.notReady : exitCodes.failed;
    default:
      return exitCodes.failed;
  }
}
