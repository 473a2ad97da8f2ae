import { GetInferenceBundleResponseSchema, PolicyService } from "@sandgate/api/policy";
import type { CommandContext } from "../command-context.ts";
import { escapeLine } from "../escape-control.ts";
import { exitCodes } from "../exit-codes.ts";
import { messageJson } from "../message-json.ts";
import { SuiteConnection } from "../suite-connection.ts";
import { formatTable } from "../table.ts";

/** `sandgate policy models`: the models that a sandbox is told of, as it sees them. */
export async function printModels(context: CommandContext, sandbox: string): Promise<number> {
  const { output } = context;
  const connection = new SuiteConnection(context.clientFile());
  const bundle = await connection
    .client("policy", PolicyService)
    .getInferenceBundle({ sandbox }, { signal: context.interruptions.signal });
  connection.close();
  output.document(messageJson(GetInferenceBundleResponseSchema, bundle));
  if (bundle.routes.length === 0) output.line(`revision ${bundle.policyRevision} tells it of no models`);
  else
    output.line(
      formatTable(
        ["name", "base url", "models", "credential"],
        bundle.routes.map(({ name, baseUrl, models, credential }) =>
          [name, baseUrl, models.join(" "), credential?.text ?? ""].map(escapeLine),
        ),
      ),
    );
  return exitCodes.ok;
}
