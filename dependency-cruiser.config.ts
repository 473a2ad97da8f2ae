import { globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { IConfiguration } from "dependency-cruiser";

/**
 * The borders inside the repository. test/architecture/borders.test.ts plants a violation of every rule here and sees it reported:
 * a new rule needs a planted violation there.
 */

/** Code that never ships: tests and what they start. */
const testCode = ["\\.(test|contract|fixture)\\.ts$", "^libs/testing/", "^test/", "^bench/", "^scripts/"];

/** What packages export: the one thing of them that others see. */
const doors = globSync("{libs,services}/*/package.json", { cwd: import.meta.dirname }).flatMap((manifest) => {
  const { exports = {} } = JSON.parse(readFileSync(join(import.meta.dirname, manifest), "utf8")) as {
    exports?: object;
  };
  return Object.values(exports)
    .filter((target) => typeof target === "string")
    .map((target) => `^${join(dirname(manifest), target).replaceAll(".", "\\.")}$`);
});

const configuration: IConfiguration = {
  forbidden: [
    {
      name: "no-cycle",
      comment: "Two files that need each other are one file, or need a third.",
      severity: "error",
      from: {},
      to: { circular: true },
    },
    {
      name: "must-resolve",
      comment: "What cannot be resolved is not checked either: every other rule would be blind to it.",
      severity: "error",
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: "packages-meet-at-the-door",
      comment: "Of another package only what its manifest exports can be imported.",
      severity: "error",
      from: { path: "^(libs|services)/([^/]+)/" },
      to: {
        path: "^(libs|services)/[^/]+/",
        pathNot: ["^$1/$2/", ...doors, "^libs/api/gen/"],
      },
    },
    {
      name: "libs-know-no-service",
      comment: "A library serves any program.",
      severity: "error",
      from: { path: "^libs/" },
      to: { path: "^services/" },
    },
    {
      name: "leaf-libs-stand-alone",
      comment:
        "config, telemetry, postgres, pki, policy, process-log, archive and audit need no other library but the generated code.",
      severity: "error",
      from: { path: "^libs/(config|telemetry|postgres|pki|policy|process-log|archive|audit)/", pathNot: testCode },
      to: { path: "^libs/", pathNot: ["^libs/$1/", "^libs/api/"] },
    },
    {
      name: "api-is-generated",
      comment: "The generated code needs nothing of ours.",
      severity: "error",
      from: { path: "^libs/api/" },
      to: { path: "^libs/", pathNot: "^libs/api/" },
    },
    {
      name: "rpc-knows-no-identity",
      comment: "Imports flow api <- rpc <- identity <- services.",
      severity: "error",
      from: { path: "^libs/rpc/", pathNot: testCode },
      to: { path: "^libs/", pathNot: ["^libs/rpc/", "^libs/api/"] },
    },
    {
      name: "programs-meet-on-the-wire",
      comment: "A program is a trust zone: it imports no other program's code.",
      severity: "error",
      from: { path: "^services/([^/]+)/", pathNot: "^services/all-in-one/" },
      to: { path: "^services/", pathNot: "^services/$1/" },
    },
    {
      name: "all-in-one-holds-the-control-plane-only",
      comment: "The proxy and the supervisor parse hostile bytes and stay processes of their own.",
      severity: "error",
      from: { path: "^services/all-in-one/" },
      to: { path: "^services/", pathNot: "^services/(all-in-one|auth|sandbox|policy)/" },
    },
    {
      name: "no-database-beside-hostile-bytes",
      comment:
        "The proxy, the gateway, the envelope and the supervisor hold no database role, so they have no use for database code.",
      severity: "error",
      from: { path: "^services/(egress-proxy|gateway|envelope|supervisor)/" },
      to: { path: ["^libs/(postgres|audit)/", "(^|/)node_modules/(@types/)?pg/"] },
    },
    {
      name: "pg-only-in-stores",
      comment: "SQL is spoken in store/ folders and in libs/postgres.",
      severity: "error",
      from: { path: "^(libs|services|scripts)/", pathNot: ["^libs/(postgres|testing)/", "^services/[^/]+/src/store/"] },
      to: { path: "(^|/)node_modules/(@types/)?pg/" },
    },
    {
      name: "dockerode-only-in-the-docker-driver",
      comment: "Who holds the Docker socket holds the machine.",
      severity: "error",
      from: { pathNot: "^services/sandbox/src/drivers?/docker[-./]" },
      to: { path: "(^|/)node_modules/(@types/)?dockerode/" },
    },
    {
      name: "kubernetes-client-only-where-it-is-loaded-late",
      comment: "It is large: one file has it, which is imported when a cluster is configured.",
      severity: "error",
      from: { pathNot: "^services/auth/src/kubernetes/api-server\\.ts$" },
      to: { path: "(^|/)node_modules/@kubernetes/" },
    },
    {
      name: "grpc-only-in-rpc",
      comment: "Only libs/rpc mounts services and opens channels; elsewhere there is no way around the pipeline.",
      severity: "error",
      from: { path: "^(libs|services|scripts)/", pathNot: "^libs/rpc/" },
      to: { path: "(^|/)node_modules/(@grpc/|@connectrpc/|grpc-health-check/)" },
    },
    {
      name: "domain-is-pure",
      comment: "Rules of the domain import nothing but each other and the pure policy language.",
      severity: "error",
      from: { path: "^services/([^/]+)/src/domain/", pathNot: testCode },
      to: { pathNot: ["^services/$1/src/domain/", "^libs/policy/src/index\\.ts$"] },
    },
    {
      name: "the-policy-language-is-pure",
      comment:
        "The service, the proxy and the simulator must come to the same decision: no clock, no file, no network.",
      severity: "error",
      from: { path: "^libs/policy/", pathNot: testCode },
      to: { dependencyTypes: ["core"], pathNot: "^(node:)?url$" },
    },
    {
      name: "tests-do-not-ship",
      comment: "Test code can reach what programs must not.",
      severity: "error",
      from: { path: "^(libs|services)/", pathNot: testCode },
      to: {
        path: [
          "\\.(test|contract|fixture)\\.ts$",
          "^libs/testing/",
          "^(test|bench|scripts)/",
          "(^|/)node_modules/(vitest|fast-check)/",
        ],
      },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: ["^dist/", "^libs/api/gen/.*\\.d\\.ts$"] },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    skipAnalysisNotInRules: true,
    detectProcessBuiltinModuleCalls: true,
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "require", "node", "default"],
      extensions: [".ts", ".mjs", ".js", ".cjs", ".json"],
      mainFields: ["main"],
    },
  },
};

export default configuration;
