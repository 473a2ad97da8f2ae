import { copyFile, mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** The files of a supervisor, as a driver takes them. */
export interface BuiltSupervisor {
  readonly node: string;
  readonly supervisor: string;
  readonly terminal: string;
}

/** Bundles the supervisor into a directory, as `npm run build` does. */
export async function buildSupervisor(directory: string): Promise<BuiltSupervisor> {
  await mkdir(directory, { recursive: true });
  const terminal = join(directory, "pty.node");
  const supervisor = join(directory, "supervisor.mjs");
  const entry = fileURLToPath(new URL("../../../services/supervisor/src/main.ts", import.meta.url));
  await build({
    entryPoints: [entry],
    outfile: supervisor,
    bundle: true,
    platform: "node",
    target: "node24",
    format: "esm",
    minifySyntax: true,
    banner: {
      js: 'import { createRequire as createRequireOfBundle } from "node:module";\nconst require = createRequireOfBundle(import.meta.url);',
    },
    logLevel: "warning",
    plugins: [
      {
        name: "terminal-binary",
        setup: ({ onLoad }) => {
          onLoad({ filter: /\/@lydell\/node-pty\/requireBinary\.js$/ }, async ({ path }) => {
            const binary = `@lydell/node-pty-${process.platform}-${process.arch}/pty.node`;
            await copyFile(createRequire(path).resolve(binary), terminal);
            // A variable, so that the bundler leaves it to run time.
            const contents = 'exports.requireBinary = (file) => { const path = "./" + file; return require(path); };';
            return { contents, resolveDir: directory };
          });
        },
      },
    ],
  });
  return { node: process.execPath, supervisor, terminal };
}
