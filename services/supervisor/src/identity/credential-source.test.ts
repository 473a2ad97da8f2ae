import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { takeCredentialSource } from "./credential-source.ts";

describe("G-11: where the credential to enrol with comes from", () => {
  let directory: string;
  let tokenFile: string;
  let named: string;
  let projected: string;
  let warnings: string[];
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "boot-"));
    [tokenFile = "", named = "", projected = ""] = ["token", "named", "projected"].map((name) => join(directory, name));
    writeFileSync(tokenFile, "from the configured file\n");
    writeFileSync(named, "from the named file");
    writeFileSync(projected, "from the pod\n");
    warnings = [];
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const take = (environment: Record<string, string | undefined>, file: string | undefined = tokenFile) =>
    takeCredentialSource({ environment, tokenFile: file, warn: (text) => warnings.push(text) });

  it("is the variable first, with a warning", () => {
    const environment = {
      SANDGATE_SANDBOX_TOKEN: "from the variable",
      SANDGATE_SANDBOX_TOKEN_FILE: named,
      SANDGATE_K8S_SA_TOKEN_FILE: projected,
    };
    expect(take(environment)()).toBe("from the variable");
    expect(warnings).toHaveLength(1);
    expect(existsSync(named)).toBe(true);
  });

  it("is the named file then, which is removed", () => {
    const source = take({ SANDGATE_SANDBOX_TOKEN_FILE: named, SANDGATE_K8S_SA_TOKEN_FILE: projected });
    expect(existsSync(named)).toBe(false);
    expect([source(), source()]).toEqual(["from the named file", "from the named file"]);
    expect(warnings).toEqual([]);
  });

  it("is the pod's projected token then, which is read for each exchange and stays", () => {
    const source = take({ SANDGATE_K8S_SA_TOKEN_FILE: projected });
    expect(source()).toBe("from the pod");
    writeFileSync(projected, "rotated");
    expect(source()).toBe("rotated");
    expect(existsSync(projected)).toBe(true);
    expect(existsSync(tokenFile)).toBe(true);
  });

  it("is the configured file last, which is removed", () => {
    expect(take({ SANDGATE_K8S_SA_TOKEN_FILE: "" })()).toBe("from the configured file");
    expect(existsSync(tokenFile)).toBe(false);
  });

  it("G-12: is no variable any more, whichever it came by", () => {
    for (const name of ["SANDGATE_SANDBOX_TOKEN", "SANDGATE_SANDBOX_TOKEN_FILE", "SANDGATE_K8S_SA_TOKEN_FILE"]) {
      writeFileSync(named, "x");
      const environment = {
        SANDGATE_SANDBOX_TOKEN: "",
        SANDGATE_SANDBOX_TOKEN_FILE: "",
        SANDGATE_K8S_SA_TOKEN_FILE: "",
        PATH: "/bin",
        [name]: named,
      };
      take(environment);
      expect(environment).toEqual({ PATH: "/bin" });
    }
  });

  it("fails, and says of no content, when there is none, or nothing in it", () => {
    expect(() => takeCredentialSource({ environment: {}, tokenFile: undefined, warn: () => {} })).toThrow(
      "nothing says",
    );
    writeFileSync(projected, "\n");
    expect(take({ SANDGATE_K8S_SA_TOKEN_FILE: projected })).toThrow("is empty");
    expect(take({ SANDGATE_K8S_SA_TOKEN_FILE: join(directory, "none") })).toThrow("ENOENT");
  });
});
