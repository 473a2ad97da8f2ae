import { describe, expect, it } from "vitest";
import { findMissingEntries } from "./complete-lock.ts";

const lock = (optionalDependencies: Record<string, string>, others: Record<string, object> = {}) => ({
  packages: { "": {}, "node_modules/tool": { version: "2.0.0", dev: true, optionalDependencies }, ...others },
});

describe("a lock that npm left incomplete", () => {
  it("lacks the optional packages of other platforms", () => {
    expect(findMissingEntries(lock({ "@tool/cli-darwin-arm64": "2.0.0", "@tool/cli-linux-aarch64": "2.0.0" }))).toEqual(
      {
        "node_modules/@tool/cli-darwin-arm64": {
          version: "2.0.0",
          os: ["darwin"],
          cpu: ["arm64"],
          dev: true,
          optional: true,
        },
        "node_modules/@tool/cli-linux-aarch64": {
          version: "2.0.0",
          os: ["linux"],
          cpu: ["arm64"],
          dev: true,
          optional: true,
        },
      },
    );
  });

  it.each(["node_modules/tool-linux-x64", "node_modules/tool/node_modules/tool-linux-x64"])(
    "does not lack what lies in %s",
    (path) => {
      expect(findMissingEntries(lock({ "tool-linux-x64": "2.0.0" }, { [path]: { version: "2.0.0" } }))).toEqual({});
    },
  );

  it.each([
    ["tool-native", "2.0.0"],
    ["tool-linux-x64", "^2.0.0"],
  ])("cannot be completed with %s@%s: platform or version are not known", (name, version) => {
    expect(() => findMissingEntries(lock({ [name]: version }))).toThrow(name);
  });
});
