import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { afterEach, expect, test } from "vitest";
import { startAdminServer } from "./admin-server.ts";
import { createMetrics } from "./metrics.ts";

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

/** Runs a program whose `start` has the given body, and gives its lines as they come. */
function run(body: string, options = "") {
  const program = `
    const { runProgram } = await import(${JSON.stringify(new URL("./run-program.ts", import.meta.url).href)});
    const { createMetrics } = await import(${JSON.stringify(new URL("./metrics.ts", import.meta.url).href)});
    const say = (line) => console.log(JSON.stringify({ msg: line }));
    const keep = setInterval(() => {}, 60_000);
    runProgram({ name: "thing", ${options} start: async (signal) => { ${body} } });`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  const lines: Record<string, unknown>[] = [];
  let rest = "";
  let wake = () => {};
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop() ?? "";
    for (const part of parts) lines.push(JSON.parse(part) as Record<string, unknown>);
    wake();
  });
  const until = async (message: string): Promise<Record<string, unknown>> => {
    for (;;) {
      const line = lines.find(({ msg }) => msg === message);
      if (line !== undefined) return line;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  const errors = text(child.stderr);
  const end = once(child, "close").then(async ([code]) => ({
    code: code as number | null,
    errors: await errors,
    lines,
  }));
  return { child, until, end };
}

const failing = (extra: string) => `throw Object.assign(new Error("port 1 is in use\\n  try another"), { ${extra} });`;

test.each(["SIGTERM", "SIGINT"] as const)("%s stops it in order, with exit code 0", async (signal) => {
  const { child, until, end } = run(`return { checks: {}, async stop() { say("stop called"); } };`);
  await until("started");
  child.kill(signal);
  const { code, lines } = await end;
  expect(code).toBe(0);
  // console and logger write on their own: their lines have no order among each other
  expect(lines.map(({ msg }) => msg).sort()).toEqual(["started", "stop called", "stopped", "stopping"]);
});

test("a second signal ends it at once", async () => {
  const { child, until, end } = run(
    `return { checks: {}, stop: () => { say("hanging"); return new Promise(() => {}); } };`,
  );
  await until("started");
  child.kill("SIGTERM");
  await until("hanging");
  child.kill("SIGINT");
  expect((await end).code).toBe(130);
});

test("a signal while it starts aborts the start, and what has started is stopped", async () => {
  const { child, until, end } = run(`
    say("starting");
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    return { checks: {}, async stop() { say("stop called"); } };`);
  await until("starting");
  child.kill("SIGTERM");
  const { code, lines } = await end;
  expect(code).toBe(0);
  expect(lines.map(({ msg }) => msg)).toContain("stop called");
});

test("a stop that takes too long ends with 1", async () => {
  const { child, until, end } = run(`return { checks: {}, stop: () => new Promise(() => {}) };`, "stopTimeoutMs: 50,");
  await until("started");
  child.kill("SIGTERM");
  expect((await end).code).toBe(1);
});

test("an error with an exit code is printed plainly and is the exit code", async () => {
  const { code, errors, lines } = await run(failing("exitCode: 2")).end;
  expect({ code, errors, lines }).toEqual({ code: 2, errors: "thing: port 1 is in use\n  try another\n", lines: [] });
});

test("any other error is logged, with exit code 1", async () => {
  const { code, lines } = await run(failing("")).end;
  expect(code).toBe(1);
  expect(lines).toEqual([expect.objectContaining({ level: "fatal", msg: "start failed" })]);
});

test.each([
  ["an unhandled rejection", "void Promise.reject(new Error('lost'))", "unhandled rejection"],
  ["an uncaught exception", "throw new Error('lost')", "uncaught exception"],
])("%s is fatal and logged", async (_, statement, msg) => {
  const { end } = run(`setTimeout(() => { ${statement} }, 1); return { checks: {}, async stop() {} };`);
  const { code, lines } = await end;
  expect(code).toBe(1);
  expect(lines.at(-1)).toMatchObject({ level: "fatal", msg, err: { message: "lost" } });
});

test("the admin listener serves the checks until the program has stopped", async () => {
  const { child, until, end } = run(`
    return { checks: { database: () => {} }, admin: { port: 0, registry: createMetrics() }, async stop() {} };`);
  const { admin_port: port } = await until("started");
  const response = await fetch(`http://127.0.0.1:${port}/readyz`);
  expect(await response.json()).toEqual({ status: "ready", checks: { database: "ok" } });
  child.kill("SIGTERM");
  expect((await end).code).toBe(0);
});

test("an admin port that is taken stops what has started, with exit code 2", async () => {
  const taken = await startAdminServer({ port: 0, registry: createMetrics(), checks: {} });
  const { code, errors, lines } = await run(`
    return { checks: {}, admin: { port: ${taken.port}, registry: createMetrics() }, async stop() { say("stop called"); } };`)
    .end;
  await taken.stop();
  expect(code).toBe(2);
  expect(errors).toBe(`thing: admin.port: port ${taken.port} on 127.0.0.1 is in use\n`);
  expect(lines.map(({ msg }) => msg)).toEqual(["stop called"]);
});
