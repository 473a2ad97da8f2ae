import { randomUUID, X509Certificate } from "node:crypto";
import { mkdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { AuthService, RegisterOperatorCertificateResponseSchema } from "@sandgate/api/auth";
import { createKeyPair } from "@sandgate/pki";
import { type CertificateAuthority, developmentAuthority, loadCertificateAuthority } from "@sandgate/pki/authority";
import type { CommandContext } from "../command-context.ts";
import { CommandFailure, usageFailure } from "../command-failure.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { createSecretFile } from "../pki/key-file.ts";
import { listOperatorCertificates } from "../pki/list-operator-certificates.ts";
import { type RoleName, roleOf } from "../role-name.ts";
import { writeWhole } from "../suite/whole-file.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate pki operator`. */
export interface OperatorOptions {
  readonly role: RoleName;
  readonly days: number;
  readonly out?: string;
}

const dayMs = 86_400_000;
const longestDays = 90;
/** As Auth has it; it becomes part of a file's name. */
const operatorName = /^[a-z][a-z0-9._-]{0,62}$/;

/**
 * `sandgate pki operator`: a certificate for grpcurl and programs, from the operator authority of this machine. Its key is made here and
 * is written to one file that only this user can read. The certificate names a user; what the user may do, Auth's register says.
 */
export async function issueOperator(context: CommandContext, name: string, options: OperatorOptions): Promise<number> {
  const { output } = context;
  const { signal } = context.interruptions;
  if (options.days < 1 || options.days > longestDays)
    throw usageFailure(`a certificate lives 1 to ${longestDays} days`, "choose --days so");
  if (!operatorName.test(name))
    throw usageFailure("this is no name for an operator", "see `sandgate pki operator --help`");
  const client = context.clientFile();
  const { pki } = context.directories();
  const authority = await operatorAuthority(pki, client.trustDomain);
  const directory = resolve(options.out ?? join(pki, "operators"));
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const keyFile = join(directory, `${name}.key.pem`);
  const certificateFile = join(directory, `${name}.pem`);
  const connection = new SuiteConnection(client);
  const auth = connection.client("auth", AuthService);
  const known = (await listOperatorCertificates(auth, signal)).find((one) => one.name === name);
  const { privateKey, publicKey } = createKeyPair();
  const now = Date.now();
  const leaf = await authority.issueOperatorCertificate({
    trustDomain: client.trustDomain,
    userId: known?.userId ?? randomUUID(),
    publicKey,
    notAfter: now + options.days * dayMs,
    now,
  });
  const keyPem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  if (!(await createSecretFile(keyFile, keyPem)))
    throw new CommandFailure({
      message: `${keyFile} is there already`,
      mend: "move it away, or choose another directory with --out",
      exitCode: exitCodes.usage,
    });
  try {
    const request = { certificate: new X509Certificate(leaf.pem).raw, name, role: roleOf(options.role) };
    const response = await auth.registerOperatorCertificate(request, { signal });
    writeWhole(certificateFile, leaf.pem, 0o644);
    const answer = messageJson(RegisterOperatorCertificateResponseSchema, response);
    output.document({ ...Object(answer), certificateFile, keyFile });
  } catch (fault) {
    rmSync(keyFile, { force: true }); // of a certificate that nobody takes
    throw fault;
  } finally {
    connection.close();
  }
  output.line(`${certificateFile}\n${keyFile}`);
  output.note(`${options.role} ${name}, until ${new Date(leaf.notAfter).toISOString()}`);
  return exitCodes.ok;
}

async function operatorAuthority(directory: string, trustDomain: string): Promise<CertificateAuthority> {
  const state = await developmentAuthority(directory, "operator", trustDomain)
    .read()
    .catch(() => undefined);
  if (state !== undefined)
    return loadCertificateAuthority({ certificatePem: state.current.toString(), keyPem: state.keyPem });
  throw new CommandFailure({
    message: `the operator authority of the suite is not in ${directory}, or this user may not read its key`,
    mend: "run the command on the suite's machine, as the user that started it",
    exitCode: exitCodes.usage,
  });
}
