import { expect, it } from "vitest";
import { requireOwnPaths } from "./require-own-paths.ts";

it("goes by paths that no link of the image leads elsewhere", () => {
  requireOwnPaths((path) => path);
  for (const link of ["/etc", "/opt", "/run", "/workspace", "/tmp"])
    expect(() => requireOwnPaths((path) => (path.startsWith(link) ? `/workspace${path}` : path))).toThrow(
      /^the image leads \/[a-z/]+.* elsewhere by a link$/,
    );
});
