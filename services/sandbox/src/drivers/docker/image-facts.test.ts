import { describe, expect, it } from "vitest";
import { findImageFault, isAllowedImage, readImageFacts, workloadVariables } from "./image-facts.ts";

describe("what an image may declare", () => {
  it.each(["/data", "/var/lib/postgresql/data", "/workspace", "/tmp", "/run/app", "/etc/nginx/conf.d", "/opt/app"])(
    "a volume at %s",
    (volume) => {
      expect(findImageFault({ volumes: [volume] })).toBeUndefined();
    },
  );

  it.each([
    ...["/", "/opt", "/opt/sandgate", "/opt/sandgate/supervisor", "/run", "/run/sandgate/bootstrap", "/run/identity"],
    ...["/etc", "/etc/passwd", "/proc", "/proc/1", "/sys/fs", "/dev/shm", "/sbin", "/data/../opt/sandgate", "data", ""],
    ...["/data:/opt", "/a,exec", "/a b", "//opt/sandgate", "/data/./x"],
  ])("but none at %j", (volume) => {
    expect(findImageFault({ volumes: ["/data", volume] })).toBe(
      "the image declares a volume where a sandbox's own files are",
    );
  });

  it("variables, of which the workload gets those that are not ours and that a process can have", () => {
    const image = readImageFacts({
      Id: "sha256:1",
      Config: {
        Env: ["A=b=c", "EMPTY=", "=nameless", "bare", "SANDGATE_SANDBOX_TOKEN=x", "a-b=c", "NUL=a\0b"],
        Volumes: null,
      },
    });
    expect(workloadVariables(image)).toEqual({ A: "b=c", EMPTY: "", bare: "" });
    expect(Object.keys(image.environment)).toContain("SANDGATE_SANDBOX_TOKEN"); // it is taken from the supervisor by its name
  });

  it("nothing at all", () => {
    expect(readImageFacts({ Id: "sha256:1", Config: null })).toEqual({ id: "sha256:1", environment: {}, volumes: [] });
  });
});

describe("which images an operator allows", () => {
  it.each([
    ["python:3.14", ["python:3.14"], true],
    ["python:3.14", ["python:3"], false],
    ["python:3.14", ["python:*"], true],
    ["evil/python:3.14", ["python:*"], false],
    ["registry.example/team/app@sha256:aa", ["registry.example/team/*"], true],
    ["registry.example/teamwork/app", ["registry.example/team/*"], false],
    ["python:3.14", [], false],
  ] as const)("%s of %j: %s", (image, allowed, answer) => {
    expect(isAllowedImage(image, allowed)).toBe(answer);
  });
});
