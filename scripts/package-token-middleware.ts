/**
 * npm run package-token-middleware -- FOLDER
 * Writes the middleware for container tokens into a folder as a package that needs `jose` and nothing of this repository: one module with
 * the code that our own services verify with, and its types. `npm pack FOLDER` then makes the archive. See docs/adr/0008.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { build } from "esbuild";
import ts from "typescript";

const root = resolve(import.meta.dirname, "..");
const source = join(root, "libs/token-middleware");

/** The files of the public types, which name nothing of other packages. */
const typeFiles = [
  "index",
  "container-token",
  "fetch-style",
  "node-style",
  "refusal",
  "token-check",
  "token-check-options",
] as const;

/** Writes the package. Throws when it would need more than `jose` and Node.js. */
export async function packageTokenMiddleware(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const { outputFiles, metafile } = await build({
    absWorkingDir: root,
    entryPoints: [join(source, "src/index.ts")],
    bundle: true,
    write: false,
    metafile: true,
    outdir: folder,
    platform: "node",
    target: "node20",
    format: "esm",
    external: ["jose"],
    logLevel: "warning",
  });
  const foreign = Object.keys(metafile.inputs).filter((file) => file.includes("node_modules/"));
  if (foreign.length > 0) throw new Error(`the middleware would carry ${foreign.join(", ")}`);
  for (const { path, contents } of outputFiles) writeFileSync(path, contents);
  for (const name of typeFiles) writeFileSync(join(folder, `${name}.d.ts`), declarationOf(name));
  writeFileSync(join(folder, "package.json"), `${JSON.stringify(manifest(), undefined, 2)}\n`);
}

function declarationOf(name: string): string {
  const file = join(source, `src/${name}.ts`);
  const { outputText, diagnostics = [] } = ts.transpileDeclaration(readFileSync(file, "utf8"), { fileName: file });
  const [fault] = diagnostics;
  if (fault !== undefined) throw new Error(ts.flattenDiagnosticMessageText(fault.messageText, "\n"));
  const text = outputText.replaceAll(/(from "\.\/[\w-]+)\.ts"/g, '$1.js"');
  if (text.includes("@sandgate/")) throw new Error(`the types of ${name} name another package of this repository`);
  return text;
}

function manifest() {
  const read = (path: string) => JSON.parse(readFileSync(path, "utf8")) as Readonly<Record<string, unknown>>;
  const { name, version, description } = read(join(source, "package.json"));
  const identity = read(join(root, "libs/identity/package.json"));
  return {
    name,
    version,
    description,
    license: read(join(root, "package.json"))["license"],
    type: "module",
    sideEffects: false,
    engines: { node: ">=20.12" },
    exports: { ".": { types: "./index.d.ts", default: "./index.js" } },
    dependencies: { jose: (identity["dependencies"] as Readonly<Record<string, string>>)["jose"] },
  };
}

if (import.meta.main) {
  const [folder] = process.argv.slice(2);
  if (folder === undefined) {
    console.error("npm run package-token-middleware -- FOLDER");
    process.exit(2);
  }
  await packageTokenMiddleware(resolve(folder));
  console.log(`npm pack ${folder}`);
}
