import { describe, expect, it } from "vitest";
import { checkFile, rules } from "../../scripts/house-rules.ts";

const program = "services/auth/src/get-user.ts";
const test = "services/auth/src/get-user.test.ts";

const violations: readonly (readonly [rule: string, file: string, text: string])[] = [
  ["environment", program, "export const path = process.env.PATH;"],
  ["environment", program, 'export const path = process["env"].PATH;'],
  ["environment", program, "export const path = process[name].PATH;"],
  ["environment", program, "export const path = globalThis.process.env.PATH;"],
  ["environment", program, 'export const path = globalThis["process"].env.PATH;'],
  ["environment", program, "export const path = (process as Loose).env.PATH;"],
  ["environment", program, "const { env } = process;"],
  ["environment", program, "const { env: surroundings } = process;"],
  ["environment", program, "const { pid, ...rest } = process;"],
  ["environment", program, "const me = process;"],
  ["environment", program, 'import { env } from "node:process";'],
  ["environment", program, 'import { env as surroundings } from "process";'],
  ["environment", program, 'import process from "node:process";'],
  ["environment", program, 'import * as self from "node:process";'],
  ["sleep", test, "await new Promise((resolve) => setTimeout(resolve, 100));"],
  ["sleep", test, "await new Promise<void>((done) => { setTimeout(done, 100); });"],
  ["sleep", test, "await new Promise((resolve, reject) => setTimeout(() => resolve(1), 100));"],
  ["sleep", test, "await new Promise(function (resolve) { globalThis.setTimeout(resolve, 100); });"],
  ["sleep", test, 'import { setTimeout as delay } from "node:timers/promises";'],
  ["sleep", test, "const delay = promisify(setTimeout);"],
  ["sleep", test, "Atomics.wait(cell, 0, 0, 100);"],
  ["sleep", "test/e2e/demo.ts", "await new Promise((resolve) => setTimeout(resolve, 100));"],
  ["skip", test, 'it.skip("works", () => {});'],
  ["skip", test, 'it.skipIf(slow)("works", () => {});'],
  ["skip", test, 'describe.runIf(fast)("works", () => {});'],
  ["skip", test, 'it.todo("works");'],
  ["skip", test, 'it("works", ({ skip }) => { skip(); });'],
  ["mocked-module", test, 'vi.mock("./users.ts", () => ({ findUser: () => {} }));'],
  ["mocked-module", "test/integration/users.test.ts", 'vi.doMock("./users.ts");'],
  ["file-name", "libs/rpc/src/utils.ts", ""],
  ["file-name", "libs/rpc/src/GrpcServer.ts", ""],
  ["file-name", "libs/rpc/src/grpc_server.ts", ""],
  ["unfinished", program, "// TODO finish\nexport const done = false;"],
  ["unfinished", program, "export function finish() {\n  /* FIXME */\n}"],
];

const allowed: readonly (readonly [file: string, text: string])[] = [
  ["libs/config/src/environment.ts", "export const path = process.env.PATH;"],
  [program, "export const id = process.pid; const { env } = options; export const where = call.env;"],
  [program, 'import { hrtime } from "node:process";'],
  [
    program,
    "// house-rule environment: the loader needs it before there is a configuration\nexport const path = process.env.PATH;",
  ],
  ["test/architecture/without-users.test.ts", 'vi.mock("./users.ts", () => ({ findUser: () => {} }));'],
  [program, "export const later = new Promise((resolve) => setTimeout(resolve, 100));"],
  [
    test,
    'await new Promise((resolve, reject) => { socket.once("end", resolve); setTimeout(() => reject(late), 100); });',
  ],
  [test, 'it("works", ({ skip }) => { skip("this machine has no TPM"); });'],
  [test, 'await expect.poll(() => rows.length).toBe(1); const word = "TODO";'],
];

describe("the house rules", () => {
  it.each(violations)("%s: in %s: %s", (rule, file, text) => {
    expect(checkFile(file, text).map((fault) => fault.rule)).toEqual([rule]);
  });

  it.each(allowed)("allow in %s: %s", (file, text) => {
    expect(checkFile(file, text)).toEqual([]);
  });

  it("name the line", () => {
    expect(checkFile(program, "\n\nexport const path = process.env.PATH;")[0]?.line).toBe(3);
  });

  it("accept no excuse without a reason", () => {
    expect(checkFile(program, "// house-rule environment:\nexport const path = process.env.PATH;")).toHaveLength(1);
  });

  it("have a planted violation each", () => {
    expect([...new Set(violations.map(([rule]) => rule))].sort()).toEqual(rules.map(({ name }) => name).sort());
  });
});
