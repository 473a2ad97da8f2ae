import type { FieldFault } from "./request-faults.ts";

/** What a variable with a secret in it is usually called. */
const secretName =
  /(?:^|_)(?:TOKEN|SECRET|SECRETS|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|API_?KEY|ACCESS_KEY|PRIVATE_KEY)(?:_|$)/i;
const privateKey = /-----BEGIN [A-Z ]*PRIVATE KEY-----/;

/**
 * What looks like a secret in an environment that is kept for long and shown to many. It cannot find every one; it finds what somebody
 * put there without thinking. A variable without a value is none.
 */
export function findSecretFaults(environment: Readonly<Record<string, string>>, path: string): FieldFault[] {
  const suspicious = Object.entries(environment).filter(
    ([name, value]) => value !== "" && (secretName.test(name) || privateKey.test(value)),
  );
  if (suspicious.length === 0) return [];
  return [
    { field: path, fault: "must hold no secret: name a provider in the policy instead, or give it with CreateSandbox" },
  ];
}
