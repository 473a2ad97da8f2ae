import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import type { ICruiseResult } from "dependency-cruiser";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import configuration from "../../dependency-cruiser.config.ts";

const root = resolve(import.meta.dirname, "../..");

/** One file with one import, and the rules that must report it. */
interface Plant {
  readonly file: string;
  readonly imports: string;
  readonly breaks: readonly string[];
}

const plants: readonly Plant[] = [
  { file: "libs/pki/src/itself.ts", imports: "./itself.ts", breaks: ["no-cycle"] },
  // A cycle is reported once, at its first file.
  { file: "services/cli/src/around.ts", imports: "./index.ts", breaks: ["no-cycle"] },
  { file: "services/cli/src/index.ts", imports: "./around.ts", breaks: [] },
  { file: "libs/pki/src/c.ts", imports: "./index.ts", breaks: [] },

  { file: "libs/pki/src/lost.ts", imports: "./nowhere.ts", breaks: ["must-resolve"] },
  { file: "libs/rpc/src/lost.ts", imports: "@sandgate/nothing", breaks: ["must-resolve"] },
  { file: "libs/rpc/src/hidden.ts", imports: "@sandgate/identity/src/index.ts", breaks: ["must-resolve"] },
  { file: "services/auth/src/undeclared.ts", imports: "left-pad", breaks: ["must-resolve"] },

  { file: "libs/identity/src/window.ts", imports: "../../rpc/src/inside.ts", breaks: ["packages-meet-at-the-door"] },
  {
    file: "services/auth/src/window.ts",
    imports: "../../../libs/rpc/src/inside.ts",
    breaks: ["packages-meet-at-the-door"],
  },
  { file: "libs/identity/src/door.ts", imports: "@sandgate/rpc", breaks: [] },
  { file: "libs/rpc/src/side-door.test.ts", imports: "@sandgate/pki/authority", breaks: [] },
  { file: "libs/rpc/src/inside.ts", imports: "./index.ts", breaks: [] },

  { file: "libs/identity/src/service.ts", imports: "@sandgate/auth", breaks: ["libs-know-no-service"] },
  { file: "libs/testing/src/service.ts", imports: "@sandgate/auth", breaks: ["libs-know-no-service"] },

  ...["config", "telemetry", "postgres", "pki", "policy", "audit"].map((leaf) => ({
    file: `libs/${leaf}/src/rpc.ts`,
    imports: "@sandgate/rpc",
    breaks: ["leaf-libs-stand-alone"],
  })),
  { file: "libs/audit/src/leaf.ts", imports: "@sandgate/postgres", breaks: ["leaf-libs-stand-alone"] },
  { file: "libs/audit/src/leaf.test.ts", imports: "@sandgate/testing", breaks: [] },
  { file: "libs/audit/src/api.ts", imports: "@sandgate/api/audit", breaks: [] },

  { file: "libs/api/gen/handmade.js", imports: "@sandgate/pki", breaks: ["api-is-generated"] },

  { file: "libs/rpc/src/identity.ts", imports: "@sandgate/identity", breaks: ["rpc-knows-no-identity"] },
  { file: "libs/rpc/src/telemetry.ts", imports: "@sandgate/telemetry", breaks: ["rpc-knows-no-identity"] },
  { file: "libs/rpc/src/api.ts", imports: "@sandgate/api/options", breaks: [] },

  { file: "services/auth/src/other.ts", imports: "@sandgate/sandbox", breaks: ["programs-meet-on-the-wire"] },
  { file: "services/cli/src/other.ts", imports: "@sandgate/all-in-one", breaks: ["programs-meet-on-the-wire"] },
  {
    file: "services/auth/src/other.test.ts",
    imports: "@sandgate/policy-service",
    breaks: ["programs-meet-on-the-wire"],
  },
  { file: "test/integration/programs.test.ts", imports: "@sandgate/egress-proxy", breaks: [] },

  { file: "services/all-in-one/src/auth.ts", imports: "@sandgate/auth", breaks: [] },
  { file: "services/all-in-one/src/policy.ts", imports: "@sandgate/policy-service", breaks: [] },
  {
    file: "services/all-in-one/src/proxy.ts",
    imports: "@sandgate/egress-proxy",
    breaks: ["all-in-one-holds-the-control-plane-only"],
  },
  {
    file: "services/all-in-one/src/supervisor.ts",
    imports: "../../supervisor/src/index.ts",
    breaks: ["all-in-one-holds-the-control-plane-only", "packages-meet-at-the-door"],
  },

  {
    file: "services/egress-proxy/src/database.ts",
    imports: "@sandgate/postgres",
    breaks: ["no-database-beside-hostile-bytes"],
  },
  {
    file: "services/supervisor/src/audit.ts",
    imports: "@sandgate/audit",
    breaks: ["no-database-beside-hostile-bytes"],
  },
  {
    file: "services/supervisor/src/store/pg.ts",
    imports: "pg",
    breaks: ["no-database-beside-hostile-bytes"],
  },
  {
    file: "services/egress-proxy/src/sql.ts",
    imports: "pg",
    breaks: ["no-database-beside-hostile-bytes", "pg-only-in-stores"],
  },
  {
    file: "services/gateway/src/audit.ts",
    imports: "@sandgate/audit",
    breaks: ["no-database-beside-hostile-bytes"],
  },
  {
    file: "services/envelope/src/database.ts",
    imports: "@sandgate/postgres",
    breaks: ["no-database-beside-hostile-bytes"],
  },

  { file: "services/auth/src/handlers/sql.ts", imports: "pg", breaks: ["pg-only-in-stores"] },
  { file: "libs/audit/src/sql.ts", imports: "pg", breaks: ["pg-only-in-stores"] },
  { file: "services/auth/src/store/sql.ts", imports: "pg", breaks: [] },
  { file: "libs/postgres/src/sql.ts", imports: "pg", breaks: [] },

  { file: "services/sandbox/src/containers.ts", imports: "dockerode", breaks: ["dockerode-only-in-the-docker-driver"] },
  { file: "test/e2e/containers.test.ts", imports: "dockerode", breaks: ["dockerode-only-in-the-docker-driver"] },
  { file: "services/sandbox/src/drivers/docker/containers.ts", imports: "dockerode", breaks: [] },

  {
    file: "services/auth/src/kubernetes/pods.ts",
    imports: "@kubernetes/client-node",
    breaks: ["kubernetes-client-only-where-it-is-loaded-late"],
  },
  { file: "services/auth/src/kubernetes/api-server.ts", imports: "@kubernetes/client-node", breaks: [] },

  { file: "services/auth/src/server.ts", imports: "@grpc/grpc-js", breaks: ["grpc-only-in-rpc"] },
  { file: "libs/identity/src/front.ts", imports: "@connectrpc/connect", breaks: ["grpc-only-in-rpc"] },
  { file: "libs/rpc/src/server.ts", imports: "@grpc/grpc-js", breaks: [] },
  { file: "bench/bare.ts", imports: "@grpc/grpc-js", breaks: [] },

  { file: "services/auth/src/domain/clock.ts", imports: "node:timers", breaks: ["domain-is-pure"] },
  { file: "services/auth/src/domain/rows.ts", imports: "../store/rows.ts", breaks: ["domain-is-pure"] },
  { file: "services/auth/src/domain/library.ts", imports: "@sandgate/rpc", breaks: ["domain-is-pure"] },
  { file: "services/auth/src/domain/npm.ts", imports: "jose", breaks: ["domain-is-pure"] },
  { file: "services/auth/src/domain/rules.ts", imports: "./rule.ts", breaks: [] },
  { file: "services/auth/src/domain/language.ts", imports: "@sandgate/policy", breaks: [] },
  { file: "services/auth/src/domain/rules.test.ts", imports: "vitest", breaks: [] },

  { file: "libs/policy/src/network.ts", imports: "node:net", breaks: ["the-policy-language-is-pure"] },
  { file: "libs/policy/src/host.ts", imports: "node:url", breaks: [] },
  { file: "libs/policy/src/network.test.ts", imports: "node:net", breaks: [] },

  { file: "services/auth/src/fixture.ts", imports: "@sandgate/testing", breaks: ["tests-do-not-ship"] },
  { file: "services/auth/src/assert.ts", imports: "vitest", breaks: ["tests-do-not-ship"] },
  { file: "services/auth/src/borrowed.ts", imports: "./borrowed.test.ts", breaks: ["tests-do-not-ship"] },
  { file: "services/auth/src/borrowed.test.ts", imports: "@sandgate/testing", breaks: [] },
];

/** Files that plants import. */
const soil = [
  "libs/pki/src/authority.ts",
  "services/auth/src/store/rows.ts",
  "services/auth/src/domain/rule.ts",
  "libs/api/gen/sandgate/audit/v1/audit_pb.js",
  "libs/api/gen/sandgate/options/v1/options_pb.js",
];

/** npm packages that plants import, whether the project uses them yet or not. */
const packages = [
  "pg",
  "dockerode",
  "jose",
  "@grpc/grpc-js",
  "@kubernetes/client-node",
  "@connectrpc/connect",
  "vitest",
];

function cruise(folder: string, ...paths: readonly string[]): ICruiseResult {
  const args = ["--config", join(root, "dependency-cruiser.config.ts"), "--output-type", "json", ...paths];
  const { stdout, stderr } = spawnSync(join(root, "node_modules/.bin/depcruise"), args, {
    cwd: folder,
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  if (stdout === "") throw new Error(stderr);
  return JSON.parse(stdout) as ICruiseResult; // dependency-cruiser's own output
}

/** A repository of empty packages with our manifests, in which the plants are the only code. */
function plantAll(folder: string): void {
  const write = (file: string, content: string) => {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), content);
  };
  for (const file of ["package.json", "tsconfig.json"]) cpSync(join(root, file), join(folder, file));
  for (const group of ["libs", "services"])
    for (const name of readdirSync(join(root, group))) {
      const manifest = join(group, name, "package.json");
      if (!existsSync(join(root, manifest))) continue;
      write(`${group}/${name}/src/index.ts`, "export const nothing = 0;\n");
      cpSync(join(root, manifest), join(folder, manifest));
      const { name: packageName } = JSON.parse(readFileSync(join(root, manifest), "utf8")) as { name: string };
      mkdirSync(join(folder, "node_modules/@sandgate"), { recursive: true });
      symlinkSync(join(folder, group, name), join(folder, "node_modules", packageName));
    }
  for (const name of packages) {
    write(`node_modules/${name}/package.json`, JSON.stringify({ name, version: "1.0.0", main: "index.js" }));
    write(`node_modules/${name}/index.js`, "");
  }
  for (const file of soil) write(file, "export const nothing = 0;\n");
  for (const { file, imports } of plants) write(file, `import * as planted from "${imports}";\nexport { planted };\n`);
}

describe("the borders inside the repository", () => {
  const folder = mkdtempSync(join(tmpdir(), "borders-"));
  const reported = new Map<string, Set<string>>();

  beforeAll(() => {
    plantAll(folder);
    for (const { from, rule } of cruise(folder, "libs", "services", "test", "bench").summary.violations)
      reported.set(from, (reported.get(from) ?? new Set()).add(rule.name));
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each(plants)("$file that imports $imports breaks $breaks", ({ file, breaks }) => {
    expect([...(reported.get(file) ?? [])].sort()).toEqual([...breaks].sort());
  });

  it("has a planted violation of every rule", () => {
    const rules = (configuration.forbidden ?? []).map(({ name }) => name);
    expect([...new Set(plants.flatMap(({ breaks }) => breaks))].sort()).toEqual([...rules].sort());
  });

  it("has no rule that only warns", () => {
    expect((configuration.forbidden ?? []).filter(({ severity }) => severity !== "error")).toEqual([]);
  });
});

describe("the repository as dependency-cruiser sees it", () => {
  const { modules, summary } = cruise(root, "libs", "services");

  it("is not empty: TypeScript is read and packages are followed to their source", () => {
    const edges = modules.flatMap(({ source, dependencies }) =>
      dependencies.map(({ resolved }) => `${source} -> ${resolved}`),
    );
    expect(edges).toContain("libs/identity/src/peer.ts -> libs/rpc/src/index.ts");
    expect(edges).toContain("libs/rpc/src/call.ts -> libs/rpc/src/service-error.ts");
  });

  it("keeps every border", () => {
    expect(summary.violations.map(({ from, to, rule }) => `${rule.name}: ${from} -> ${to}`)).toEqual([]);
  });
});
