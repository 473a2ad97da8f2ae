import { durationFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { IssueContainerTokenResponseSchema, PolicyService } from "@sandgate/api/policy";
import type { CommandContext } from "../command-context.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { readClientCertificate } from "../read-client-certificate.ts";
import { writeWhole } from "../suite/whole-file.ts";
import { SuiteConnection } from "../suite-connection.ts";

/** Options of `sandgate token mint`. */
export interface MintTokenOptions {
  readonly audience?: string;
  readonly host: readonly string[];
  readonly life?: number;
  readonly hipaa?: boolean;
  readonly pci?: boolean;
  readonly certificate?: string;
  readonly out?: string;
}

/** `sandgate token mint`: a container token for a sandbox; it names no host that the sandbox's policy does not allow. */
export async function mintToken(context: CommandContext, sandbox: string, options: MintTokenOptions): Promise<number> {
  const { output } = context;
  const confirmation =
    options.certificate === undefined
      ? undefined
      : ({ case: "certificateSha256", value: readClientCertificate(options.certificate).sha256 } as const);
  const connection = new SuiteConnection(context.clientFile());
  const response = await connection.client("policy", PolicyService).issueContainerToken(
    {
      sandbox,
      hosts: [...options.host],
      options: {
        audience: options.audience ?? "",
        isHipaaRegulated: options.hipaa === true,
        isPciCompliant: options.pci === true,
        ...(options.life === undefined ? {} : { life: durationFromMs(options.life) }),
        ...(confirmation === undefined ? {} : { confirmation }),
      },
    },
    { signal: context.interruptions.signal },
  );
  connection.close();
  if (options.out === undefined) {
    output.document(messageJson(IssueContainerTokenResponseSchema, response));
    output.line(response.token);
  } else {
    writeWhole(options.out, `${response.token}\n`, 0o600);
    const { token: _token, ...rest } = response;
    output.document(messageJson(IssueContainerTokenResponseSchema, { ...rest, token: "" }));
  }
  const until = response.expireTime === undefined ? "" : new Date(timestampMs(response.expireTime)).toISOString();
  output.note(`session ${response.tokenId}, until ${until}`);
  for (const host of response.refusedHosts) output.note(`the policy does not allow ${escapeLine(host)}`);
  return exitCodes.ok;
}
