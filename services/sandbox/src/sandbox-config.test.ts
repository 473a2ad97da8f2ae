import { tmpdir } from "node:os";
import { describe, expect, it } from "vitest";
import * as z from "zod";
import { sandboxSettings } from "./sandbox-config.ts";

const settings = z.object({ quotas: sandboxSettings.quotas });
const organization = "0d9a0000-0000-4000-8000-00000000000A";

it("limits organizations of which nothing is said, and takes the id of one in whatever case", () => {
  expect(settings.parse({}).quotas).toEqual({
    default: { sandboxes: 10_000, running_sandboxes: 1_000 },
    organizations: {},
  });
  const { quotas } = settings.parse({ quotas: { organizations: { [organization]: { running_sandboxes: 3 } } } });
  expect(quotas.organizations).toEqual({ [organization.toLowerCase()]: { running_sandboxes: 3 } });
});

it.each([
  [{ default: { sandboxes: -1 } }, "quotas.default.sandboxes"],
  [{ default: { cpu: 1 } }, "quotas.default"],
  [{ organizations: { acme: {} } }, "quotas.organizations.acme"],
  [{ organizations: { [organization]: { processes: 1.5 } } }, `quotas.organizations.${organization}.processes`],
])("names what is wrong with %j", (quotas, path) => {
  const { error } = settings.safeParse({ quotas });
  expect(error?.issues.map((issue) => issue.path.join("."))).toEqual([path]);
});

const files = { node_file: process.execPath, supervisor_file: process.execPath, terminal_file: process.execPath };
const docker = { ...files, default_image: "python:3.14-slim" };
const faultsOf = (driver: object): readonly string[] => {
  const { error } = z.strictObject(sandboxSettings).safeParse({ state_directory: tmpdir(), driver });
  return (error?.issues ?? []).map(({ path }) => path.join("."));
};

describe("what sandboxes run on", () => {
  it.each([
    ["the local driver", { local: files }],
    ["the docker driver", { docker }],
    ["images by a pattern", { docker: { ...docker, allowed_images: ["registry.example:5000/team/*", "a@sha256:00"] } }],
  ])("may be %s", (_, driver) => {
    expect(faultsOf(driver)).toEqual([]);
  });

  it.each([
    ["nothing", {}, "driver"],
    ["two drivers", { local: files, docker }, "driver"],
    ["another driver beside it", { docker, podman: docker }, "driver"],
    ["no image", { docker: files }, "driver.docker.default_image"],
    [
      "an image that is an option",
      { docker: { ...docker, default_image: "--privileged" } },
      "driver.docker.default_image",
    ],
    ["an image that is a path", { docker: { ...docker, allowed_images: ["/etc"] } }, "driver.docker.allowed_images.0"],
    ["too little memory", { docker: { ...docker, memory_bytes: 1 } }, "driver.docker.memory_bytes"],
    ["a socket that is no path", { docker: { ...docker, socket: "docker.sock" } }, "driver.docker.socket"],
    ["an isolation that is not known", { docker: { ...docker, min_isolation: "none" } }, "driver.docker.min_isolation"],
  ])("is not %s, and the fault names its path", (_, driver, path) => {
    expect(faultsOf(driver)).toEqual([path]);
  });
});
