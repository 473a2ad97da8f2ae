/** Generates libs/api/gen from proto/: messages, services and descriptors as JavaScript with declarations. */
import { execFileSync } from "node:child_process";

execFileSync("buf", ["generate"], { stdio: "inherit" });
