import { readFileSync, unlinkSync } from "node:fs";

/**
 * The bootstrap token, in the order of G-11: the variable SANDGATE_SANDBOX_TOKEN, for tests alone; the file that SANDGATE_SANDBOX_TOKEN_FILE
 * names; the file of the configuration. A file is removed when it was read. The variables are removed from the environment.
 */
export function takeBootstrapToken(options: {
  environment: Record<string, string | undefined>;
  tokenFile: string;
  warn: (message: string) => void;
}): string {
  const { environment } = options;
  const token = environment.SANDGATE_SANDBOX_TOKEN;
  const file = environment.SANDGATE_SANDBOX_TOKEN_FILE ?? options.tokenFile;
  for (const name of ["SANDGATE_SANDBOX_TOKEN", "SANDGATE_SANDBOX_TOKEN_FILE", "SANDGATE_K8S_SA_TOKEN_FILE"])
    delete environment[name];
  if (token !== undefined) {
    options.warn("the bootstrap token came by an environment variable, which is for tests alone");
    return token;
  }
  const text = readFileSync(file, "utf8").trim();
  unlinkSync(file);
  return text;
}
