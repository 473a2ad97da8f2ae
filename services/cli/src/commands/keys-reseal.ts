import { existsSync, renameSync } from "node:fs";
import { join } from "node:path";
import { AuthService } from "@sandgate/api/auth";
import type { CommandContext } from "../command-context.ts";
import { CommandFailure } from "../command-failure.ts";
import { exitCodes } from "../exit-codes.ts";
import { createSecretFile } from "../pki/key-file.ts";
import { newSealingKey } from "../pki/token-keys.ts";
import { withSuiteLock } from "../suite/suite-lock.ts";
import { SuiteConnection } from "../suite-connection.ts";

/**
 * `sandgate keys reseal`: the signing keys in the database are sealed with another key, and the one before is gone. Run again, it goes on
 * where it was interrupted: Auth opens with both until the new one has the old one's place.
 */
export async function resealKeys(context: CommandContext): Promise<number> {
  const { output } = context;
  const { state, lockFile } = context.directories();
  const file = join(state, "keys", "sealing.key");
  const next = join(state, "keys", "sealing.next.key");
  if (!existsSync(file))
    throw new CommandFailure({
      message: `there is no ${file}`,
      mend: "run the command on the suite's machine, as the user that started it",
      exitCode: exitCodes.usage,
    });
  const connection = new SuiteConnection(context.clientFile());
  const resealed = await withSuiteLock(lockFile, async () => {
    await createSecretFile(next, newSealingKey());
    const { signal } = context.interruptions;
    const response = await connection.client("auth", AuthService).resealSigningKeys({}, { signal });
    renameSync(next, file);
    return response.resealed;
  });
  connection.close();
  output.document({ resealed, file });
  output.line(`${resealed} signing keys are sealed with a new key, in ${file}`);
  return exitCodes.ok;
}
