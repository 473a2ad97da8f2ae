import { request } from "node:http";
import { Counter } from "prom-client";
import { afterEach, expect, test } from "vitest";
import { type AdminServer, type AdminServerOptions, startAdminServer } from "./admin-server.ts";
import { createMetrics } from "./metrics.ts";

const servers: AdminServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});

async function start(options: Partial<AdminServerOptions> = {}): Promise<AdminServer> {
  const server = await startAdminServer({ port: 0, registry: createMetrics(), checks: {}, ...options });
  servers.push(server);
  return server;
}

const get = async (server: AdminServer, path: string, init: RequestInit = {}) => {
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`, init);
  return { status: response.status, body: await response.text() };
};

test("liveness asks nothing but that the process answers", async () => {
  const server = await start({ checks: { database: () => Promise.reject(new Error("down")) } });
  expect(await get(server, "/livez")).toEqual({ status: 200, body: '{"status":"live"}\n' });
});

test("a program's own documents are served as JSON, and nothing beside them", async () => {
  const server = await start({ documents: { "/leases": () => ({ leases: [] }) } });
  expect(await get(server, "/leases")).toEqual({ status: 200, body: '{"leases":[]}\n' });
  for (const path of ["/lease", "/constructor", "/__proto__"]) expect((await get(server, path)).status).toBe(404);
});

test("it is ready when every check passes", async () => {
  const server = await start({ checks: { database: async () => {}, trust: () => {} } });
  const { status, body } = await get(server, "/readyz");
  expect([status, JSON.parse(body)]).toEqual([200, { status: "ready", checks: { database: "ok", trust: "ok" } }]);
});

test("certificates are read again when they are asked for, where the program has any", async () => {
  let readings = 0;
  const server = await start({ certificates: async () => ({ certificate: `read ${++readings}`, authorities: [] }) });
  await get(server, "/certificates");
  expect(await get(server, "/certificates")).toEqual({
    status: 200,
    body: '{"certificate":"read 2","authorities":[]}\n',
  });
  expect((await get(await start(), "/certificates")).status).toBe(404);
});

test("a check that throws, rejects or hangs is named with 503, and the log alone says why", async () => {
  const logged: object[] = [];
  const server = await start({
    checkTimeoutMs: 20,
    logger: { info: () => {}, warn: (fields) => logged.push(fields) },
    checks: {
      fine: () => {},
      throws: () => {
        throw new Error("with a secret");
      },
      rejects: () => Promise.reject(new Error("no")),
      hangs: () => new Promise(() => {}),
    },
  });
  const { status, body } = await get(server, "/readyz");
  expect([status, JSON.parse(body)]).toEqual([
    503,
    { status: "not ready", checks: { fine: "ok", throws: "failed", rejects: "failed", hangs: "failed" } },
  ]);
  expect(body).not.toContain("secret");
  expect(logged).toHaveLength(3);
});

test("a failing check is logged when it begins to fail and when it passes again, however often it is asked", async () => {
  const logged: string[] = [];
  const note = (level: string) => (fields: object) => logged.push(`${level} ${JSON.stringify(fields)}`);
  let down = true;
  const server = await start({
    logger: { info: note("info"), warn: note("warn") },
    checks: {
      fine: () => {},
      database: () => {
        if (down) throw new Error("down");
      },
    },
  });
  const ask = async (times: number): Promise<void> => {
    for (let time = 0; time < times; time += 1) await get(server, "/readyz");
  };
  const failed = 'warn {"err":{},"check":"database"}';
  await ask(3);
  expect(logged).toEqual([failed]);
  down = false;
  await ask(2);
  expect(logged).toEqual([failed, 'info {"check":"database"}']);
  down = true;
  await ask(2);
  expect(logged).toEqual([failed, 'info {"check":"database"}', failed]);
});

test("metrics hold the process's own and the program's", async () => {
  const registry = createMetrics();
  new Counter({ name: "sandgate_things_total", help: "things", registers: [registry] }).inc(3);
  const { status, body } = await get(await start({ registry }), "/metrics");
  expect(status).toBe(200);
  expect(body).toContain("sandgate_things_total 3");
  expect(body).toContain("process_cpu_seconds_total");
  expect(body).toContain("nodejs_eventloop_lag_seconds");
});

test.each([
  ["/", "GET", 404],
  ["/metrics/../livez", "GET", 200],
  ["/readyz?x=1", "GET", 404],
  ["/livez", "POST", 405],
  ["/livez", "HEAD", 200],
])("%s by %s is %i", async (path, method, status) => {
  expect((await get(await start(), path, { method })).status).toBe(status);
});

test("a request that names another host is refused: a web page may have pointed its name here", async () => {
  const { port } = await start();
  const status = await new Promise((resolve, reject) => {
    request({ host: "127.0.0.1", port, path: "/metrics", headers: { host: "evil.example" } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on("error", reject)
      .end();
  });
  expect(status).toBe(421);
});

test("a port that is taken is named, with exit code 2", async () => {
  const { port } = await start();
  await expect(start({ port })).rejects.toMatchObject({
    name: "AdminServerError",
    exitCode: 2,
    message: `admin.port: port ${port} on 127.0.0.1 is in use`,
  });
});

test("another host than loopback is refused", async () => {
  const host = "0.0.0.0" as "127.0.0.1"; // what the type forbids, the program refuses too
  await expect(start({ host })).rejects.toMatchObject({ exitCode: 2 });
});

test("it stops although a client keeps its connection", async () => {
  const server = await start();
  await get(server, "/livez", { headers: { connection: "keep-alive" } });
  await Promise.all([server.stop(), server.stop()]);
  await expect(get(server, "/livez")).rejects.toThrow();
});
