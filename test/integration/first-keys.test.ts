import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createThrowAwayDatabase } from "@sandgate/testing";
import { expect, it } from "vitest";
import { openSigningKeys } from "../../services/auth/src/keys/signing-keys.ts";
import { completeKeyDirectory } from "../../services/cli/src/pki/token-keys.ts";

it("G-07: Auth signs with the keys of the directory that `sandgate certgen` has made, at its first start", async () => {
  const directory = await mkdtemp(join(tmpdir(), "first-keys-"));
  const database = await createThrowAwayDatabase({ services: ["auth"] });
  try {
    await database.migrate("auth", fileURLToPath(new URL("../../services/auth/migrations", import.meta.url)));
    const { kid } = await completeKeyDirectory(directory);
    const { kid: egressKid } = JSON.parse(await readFile(join(directory, "egress-signing.jwk.json"), "utf8"));
    const keys = await openSigningKeys({
      pool: database.createPool("auth"),
      audit: { append: async () => {} },
      directory,
      rotation: { maxAgeMs: 0, publishMs: 600_000 },
      workloadAlgorithm: "ES256",
      clock: Date.now,
    });
    await keys.start({ principal: "none", peer: "none", organizationId: "" });
    expect([keys.current("EdDSA").kid, keys.current("ES256").kid]).toEqual([kid, egressKid]);
  } finally {
    await database.drop();
    await rm(directory, { recursive: true });
  }
});
