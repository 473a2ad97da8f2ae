import { readFileSync, unlinkSync } from "node:fs";

/** Answers the credential that one exchange is made with. Throws an Error that names no content when it cannot be read. */
export type CredentialSource = () => string;

const variables = ["SANDGATE_SANDBOX_TOKEN", "SANDGATE_SANDBOX_TOKEN_FILE", "SANDGATE_K8S_SA_TOKEN_FILE"] as const;

/**
 * Where the credential to enrol with comes from, in the order of G-11: the variable SANDGATE_SANDBOX_TOKEN, for tests alone; the file that
 * SANDGATE_SANDBOX_TOKEN_FILE names; the projected token that SANDGATE_K8S_SA_TOKEN_FILE names; the file of the configuration. A file with
 * a bootstrap token is read now, and removed; a projected token is read for each exchange, since the kubelet replaces it. The variables
 * are removed from the environment. Throws an Error when none says anything.
 */
export function takeCredentialSource(options: {
  environment: Record<string, string | undefined>;
  tokenFile: string | undefined;
  warn: (message: string) => void;
}): CredentialSource {
  const { environment } = options;
  // what is empty says nothing
  const [token, tokenFile, projectedFile] = variables.map((name) => environment[name] || undefined);
  for (const name of variables) delete environment[name];
  if (token !== undefined) {
    options.warn("the bootstrap token came by an environment variable, which is for tests alone");
    return () => token;
  }
  if (tokenFile === undefined && projectedFile !== undefined) return () => readToken(projectedFile);
  const file = tokenFile ?? options.tokenFile;
  if (file === undefined) throw new Error("nothing says where the credential to enrol with is");
  const taken = readToken(file);
  unlinkSync(file);
  return () => taken;
}

function readToken(file: string): string {
  const text = readFileSync(file, "utf8").trim();
  if (text === "") throw new Error("the file with the credential to enrol with is empty");
  return text;
}
