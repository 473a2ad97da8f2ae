import type { SqlClient } from "@sandgate/postgres";
import { createKeyRing, type KeyRing, makeSealingKeyFile, readSealingKeys, SealingError } from "@sandgate/sealing";

/**
 * The keys of the file, or undefined where no file is configured. It is made where it is missing and no secret is kept yet. Throws
 * SealingError for a file that is missing although secrets were sealed with it, or is no key file, and ConfigError for one that others can read.
 */
export async function loadSealingKeys(file: string | undefined, database: SqlClient): Promise<KeyRing | undefined> {
  const kept = (await database.query(`select from providers limit 1`)).rows.length > 0;
  if (file === undefined) {
    if (!kept) return undefined;
    throw new SealingError("provider_key_file is not set, and the database holds secrets that were sealed with it");
  }
  const found = readSealingKeys(file);
  if (found !== undefined) return createKeyRing(found);
  if (kept) throw new SealingError(`${file}: file is missing, and the secrets in the database are sealed with it`);
  await makeSealingKeyFile(file);
  return createKeyRing(readSealingKeys(file) ?? []);
}
