import { randomUUID, X509Certificate } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseSpiffeId, readCertificate } from "@sandgate/pki";
import { createDevelopmentPki } from "@sandgate/pki/authority";
import type { CommandContext } from "../command-context.ts";
import { usageFailure } from "../command-failure.ts";
import { exitCodes } from "../exit-codes.ts";
import { kubernetesManifests } from "../pki/kubernetes-manifests.ts";
import { completeKeyDirectory } from "../pki/token-keys.ts";
import { writeWhole } from "../suite/whole-file.ts";

/** Options of `sandgate certgen`. */
export interface CertgenOptions {
  readonly out: string;
  readonly trustDomain: string;
  readonly operatorUser?: string;
  readonly kubernetes?: string;
}

const dnsLabel = /^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$/;
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** `sandgate certgen`: what an installation needs of certificates and first keys; run twice, it changes nothing (G-07). */
export async function certgen(context: CommandContext, options: CertgenOptions): Promise<number> {
  const { output } = context;
  const { kubernetes: release, trustDomain } = options;
  const directory = resolve(options.out);
  if (release !== undefined && !dnsLabel.test(release))
    throw usageFailure("this is no name for a release", "use lower-case letters, digits and hyphens, 40 at most");
  if (options.operatorUser !== undefined && !uuid.test(options.operatorUser))
    throw usageFailure("this is no user id", "it is the id of an operator in the configuration of Auth, a UUID");
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const operatorUserId = options.operatorUser ?? operatorUserIn(directory) ?? randomUUID();
  const pki = await createDevelopmentPki({ directory, trustDomain, operatorUserId });
  const keyDirectory = join(directory, "jwt");
  const { kid, created } = await completeKeyDirectory(keyDirectory);
  const manifests = release === undefined ? undefined : join(directory, `${release}-secrets.json`);
  if (release !== undefined && manifests !== undefined)
    writeWhole(manifests, kubernetesManifests({ release, pki, keyDirectory }), 0o600);
  const changed = created || pki.written.length > 0;
  output.document({ directory, changed, written: pki.written, kid, operatorUserId, manifests });
  output.line(changed ? `certificates and keys are in ${directory}` : `nothing had to be changed in ${directory}`);
  output.line(`  operator's user id  ${operatorUserId}`);
  output.line(`  first signing key   ${kid}`);
  if (manifests !== undefined) output.line(`  manifests           ${manifests}`);
  return exitCodes.ok;
}

/** The user of the operator's certificate that is there. */
function operatorUserIn(directory: string): string | undefined {
  try {
    const { raw } = new X509Certificate(readFileSync(join(directory, "operator.pem")));
    return parseSpiffeId(readCertificate(raw).spiffeId ?? "")?.name;
  } catch {
    return undefined; // there is none, or it is made anew
  }
}
