import { describe, expect, it } from "vitest";
import { parseSpec, type SpecMessage } from "./parse-spec.ts";
import { findNameFault } from "./sandbox-name.ts";

const spec = (part: Partial<SpecMessage>): SpecMessage => ({ command: [], environment: {}, idleAction: 0, ...part });
const limits = (part: object) => ({ processMemoryBytes: 0n, processes: 0, openFiles: 0, fileSizeBytes: 0n, ...part });

describe("parseSpec", () => {
  it.each([
    "python:3.14-slim",
    "registry.example:5000/team/app_x@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "library/busybox",
  ])("takes the image %s", (image) => {
    expect(parseSpec(spec({ image }))).toMatchObject({ faults: [], spec: { image } });
  });

  it("fills in the documented defaults", () => {
    expect(parseSpec(undefined)).toEqual({
      faults: [],
      spec: {
        command: [],
        environment: {},
        ttlMs: undefined,
        idleTimeoutMs: undefined,
        idleAction: "STOP",
        limits: { processMemoryBytes: 4 * 1024 ** 3, processes: 256, openFiles: 4096, fileSizeBytes: 1024 ** 3 },
      },
    });
  });

  it.each([
    ["spec.command", spec({ command: [""] })],
    ["spec.command", spec({ command: ["sh", "a\0b"] })],
    ["spec.command", spec({ command: Array.from({ length: 1025 }, () => "x") })],
    ["spec.command", spec({ command: ["x".repeat(128 * 1024)] })],
    ["spec.image", spec({ image: "../../etc" })],
    ["spec.image", spec({ image: "--privileged" })],
    ["spec.image", spec({ image: "a b" })],
    ["spec.image", spec({ image: "python:3\n" })],
    ["spec.image", spec({ image: `x${"y".repeat(512)}` })],
    ["spec.environment", spec({ environment: { "1A": "x" } })],
    ["spec.environment", spec({ environment: { "A=B": "x" } })],
    ["spec.environment", spec({ environment: { A: "x\0" } })],
    ["spec.environment", spec({ environment: { A: "x".repeat(32 * 1024) } })],
    ["spec.environment", spec({ environment: { SANDGATE_SANDBOX_TOKEN: "x" } })],
    [
      "spec.environment",
      spec({ environment: Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`V${i}`, ""])) }),
    ],
    ["spec.limits.process_memory_bytes", spec({ limits: limits({ processMemoryBytes: 1n }) })],
    ["spec.limits.process_memory_bytes", spec({ limits: limits({ processMemoryBytes: -1n }) })],
    ["spec.limits.processes", spec({ limits: limits({ processes: 1 }) })],
    ["spec.limits.open_files", spec({ limits: limits({ openFiles: 20_001 }) })],
    ["spec.limits.file_size_bytes", spec({ limits: limits({ fileSizeBytes: 2n ** 62n }) })],
    ["spec.ttl", spec({ ttl: { seconds: -1n, nanos: 0 } })],
    ["spec.ttl", spec({ ttl: { seconds: 0n, nanos: 5 } })],
    ["spec.idle_timeout", spec({ idleTimeout: { seconds: 9n, nanos: 0 } })],
    ["spec.idle_timeout", spec({ idleTimeout: { seconds: 2n ** 62n, nanos: 0 } })],
    ["spec.idle_action", spec({ idleAction: 3 })],
    ["spec.ttl", spec({ ttl: { seconds: 400n * 86_400n, nanos: 0 } })],
  ])("names %s as the field at fault", (field, message) => {
    expect(parseSpec(message).faults.map((fault) => fault.field)).toEqual([field]);
  });

  it("names every fault at once", () => {
    const faulty = spec({ command: [""], environment: { "": "x" }, limits: limits({ processes: 1, openFiles: 1 }) });
    expect(parseSpec(faulty).faults.map((fault) => fault.field)).toEqual([
      "spec.command",
      "spec.environment",
      "spec.limits.processes",
      "spec.limits.open_files",
    ]);
  });
});

describe("findNameFault", () => {
  it.each(["a", "web-1", "x".repeat(63)])("accepts %s", (name) => expect(findNameFault(name)).toBeUndefined());
  it.each(["-a", "a-", "A", "a_b", "sbx-1", "../etc", "a.b", "x".repeat(64), "ä"])("refuses %s (D-20)", (name) =>
    expect(findNameFault(name)?.field).toBe("name"),
  );
});
