/** Generates libs/api/gen from proto/: messages and services as JavaScript with declarations, and the descriptor set that reflection serves. */
import { execFileSync } from "node:child_process";

const run = (...args: string[]) => execFileSync("buf", args, { stdio: "inherit" });

run("generate");
run("build", "--as-file-descriptor-set", "--output", "libs/api/gen/descriptors.binpb");
