import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { takeBootstrapToken } from "./bootstrap-token.ts";

describe("G-11: where the bootstrap token comes from", () => {
  let directory: string;
  let tokenFile: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "boot-"));
    tokenFile = join(directory, "token");
    writeFileSync(tokenFile, "from the configured file\n");
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it("is the variable first, with a warning, and the variable is gone", () => {
    const environment: Record<string, string | undefined> = { SANDGATE_SANDBOX_TOKEN: "from the variable" };
    const warnings: string[] = [];
    expect(takeBootstrapToken({ environment, tokenFile, warn: (text) => warnings.push(text) })).toBe(
      "from the variable",
    );
    expect(warnings).toHaveLength(1);
    expect(environment).toEqual({});
  });

  it("is the named file then, which is removed", () => {
    const named = join(directory, "named");
    writeFileSync(named, "from the named file");
    const environment: Record<string, string | undefined> = { SANDGATE_SANDBOX_TOKEN_FILE: named };
    expect(takeBootstrapToken({ environment, tokenFile, warn: () => {} })).toBe("from the named file");
    expect(existsSync(named)).toBe(false);
    expect(environment).toEqual({});
  });

  it("is the configured file last, which is removed", () => {
    expect(takeBootstrapToken({ environment: {}, tokenFile, warn: () => {} })).toBe("from the configured file");
    expect(existsSync(tokenFile)).toBe(false);
  });
});
