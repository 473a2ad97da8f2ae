import { randomBytes } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { SandboxSpecSchema } from "@sandgate/api/sandbox";
import { createFakeControlPlane, type FakeControlPlane, type FakeSession } from "@sandgate/testing";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import type { DriverExit, SandboxDriver, SandboxStart } from "./sandbox-driver.ts";

/** A driver whose process a test can kill. */
export interface DriverUnderTest {
  /** The driver of the process that runs now. */
  readonly driver: SandboxDriver;
  /** How a process of the workload starts Node. */
  readonly runtime: readonly string[];
  /** Makes a control plane's certificate the one that supervisors trust from now on. */
  trust(plane: FakeControlPlane): Promise<void>;
  /** Kills the driver's process with SIGKILL and starts another one on the same state. `meanwhile` happens while there is none. */
  crash(meanwhile?: () => void): Promise<void>;
  /** Everything of a sandbox that is on the machine: processes, mounts, directories. */
  tracesOf(sandboxId: string): Promise<readonly string[]>;
  /** Kills the supervisor's process with SIGKILL. */
  killSupervisor(sandboxId: string): void;
  /** Starts a process in the sandbox that does not end with its supervisor, as one that was being started when that died. */
  leaveOrphan(sandboxId: string): Promise<void>;
  close(): Promise<void>;
}

/** A fresh sandbox id. */
export function newSandboxId(): string {
  const letters = "abcdefghijklmnopqrstuvwxyz234567";
  return `sbx-${[...randomBytes(20)].map((byte) => letters[byte % 32]).join("")}`;
}

/** What every driver promises, as tests. */
export function describeSandboxDriver(name: string, setUp: () => Promise<DriverUnderTest>): void {
  describe(`a sandbox driver: ${name}`, () => {
    let subject: DriverUnderTest;
    const planes: FakeControlPlane[] = [];
    const ids: string[] = [];

    beforeAll(async () => {
      subject = await setUp();
    });
    afterAll(() => subject.close());
    afterEach(async () => {
      for (const id of ids.splice(0)) await subject.driver.destroy(id);
      for (const plane of planes.splice(0)) await plane.close();
    });

    const newId = (): string => {
      const id = newSandboxId();
      ids.push(id);
      return id;
    };
    const startOf = (sandboxId: string, plane: FakeControlPlane, incarnation = 1n): SandboxStart => ({
      sandboxId,
      incarnation,
      name: "demo",
      spec: create(SandboxSpecSchema),
      bootstrapToken: plane.bootstrapToken,
    });
    const run = async (): Promise<{ id: string; plane: FakeControlPlane; session: FakeSession }> => {
      const id = newId();
      const plane = await createFakeControlPlane(id);
      planes.push(plane);
      await subject.trust(plane);
      const { controlDirectory } = await subject.driver.prepare(id);
      await plane.open(controlDirectory);
      await subject.driver.start(startOf(id, plane));
      return { id, plane, session: await plane.session() };
    };
    const listed = async (id: string) => (await subject.driver.list()).find(({ sandboxId }) => sandboxId === id);
    const nextExit = (): Promise<DriverExit> =>
      new Promise((resolve) => {
        const end = subject.driver.onExit((exit) => {
          end();
          resolve(exit);
        });
      });

    it("can run sandboxes here, and says what it guarantees and what not", async () => {
      const { refusal, guarantees, gaps } = await subject.driver.isolation();
      expect(refusal).toBeUndefined();
      expect(guarantees.length).toBeGreaterThan(0);
      for (const gap of gaps) expect(gap.mend).not.toBe("");
    });

    it("prepares a sandbox's directories; repeating it changes nothing", async () => {
      const id = newId();
      const endpoints = await subject.driver.prepare(id);
      expect(await subject.driver.prepare(id)).toEqual(endpoints);
      expect(await listed(id)).toEqual({ sandboxId: id, running: false });
    });

    it.each(["../../etc", "sbx-short", "", "sbx-aaaaaaaaaaaaaaaaaaa/"])("D-20: refuses %j as an id", async (id) => {
      await expect(subject.driver.prepare(id)).rejects.toThrow("not a sandbox id");
      await expect(subject.driver.destroy(id)).rejects.toThrow("not a sandbox id");
    });

    it("starts a supervisor that enrols, proves its confinement and runs commands", async () => {
      const { id, plane, session } = await run();
      expect(session.incarnation).toBe(1n);
      const { checks } = await session.confinement;
      expect(checks.filter(({ confined }) => !confined)).toEqual([]);
      expect(checks.length).toBeGreaterThan(8);
      const { stdout, exit } = await plane.exec(session, { command: ["hostname"] }).collect();
      expect({ stdout, code: exit?.code }).toEqual({ stdout: "demo\n", code: 0 });
      expect(await listed(id)).toEqual({ sandboxId: id, running: true, incarnation: 1n });
    });

    it("changes nothing when the incarnation runs already", async () => {
      const { id, plane, session } = await run();
      await subject.driver.start(startOf(id, plane));
      expect(await plane.session()).toBe(session);
      expect(plane.calls.issueSandboxToken).toBe(1);
    });

    it("ends an earlier incarnation when a later one is started", async () => {
      const { id, plane } = await run();
      const later = await createFakeControlPlane(id);
      planes.push(later);
      await plane.close();
      await subject.trust(later);
      const { controlDirectory } = await subject.driver.prepare(id);
      await later.open(controlDirectory);
      await subject.driver.start(startOf(id, later, 2n));
      expect((await later.session()).incarnation).toBe(2n);
      expect(await listed(id)).toEqual({ sandboxId: id, running: true, incarnation: 2n });
    });

    it("keeps the workspace from a stop to the start of the next incarnation (D-29)", async () => {
      const { id, plane, session } = await run();
      const write = plane.exec(session, { command: ["sh", "-c", "echo kept > file"] });
      expect((await write.collect()).exit?.code).toBe(0);
      await subject.driver.stop({ sandboxId: id, graceMs: 5_000 });
      const later = await createFakeControlPlane(id);
      planes.push(later);
      await plane.close();
      await subject.trust(later);
      const { controlDirectory } = await subject.driver.prepare(id);
      await later.open(controlDirectory);
      await subject.driver.start(startOf(id, later, 2n));
      const read = later.exec(await later.session(), { command: ["cat", "file"] });
      expect((await read.collect()).stdout).toBe("kept\n");
    });

    it("stops a sandbox and keeps its directories; nobody is told of that end", async () => {
      const { id } = await run();
      let told = 0;
      const end = subject.driver.onExit(() => {
        told += 1;
      });
      await subject.driver.stop({ sandboxId: id, graceMs: 5_000 });
      end();
      expect(await listed(id)).toEqual({ sandboxId: id, running: false, incarnation: 1n });
      expect(told).toBe(0);
      await subject.driver.stop({ sandboxId: id, graceMs: 0 });
    });

    it("kills what does not end in time", async () => {
      const { id, plane, session } = await run();
      const stubborn = plane.exec(session, {
        command: ["sh", "-c", "trap '' TERM HUP; echo on; while :; do sleep 1; done"],
      });
      for await (const { output } of stubborn.outputs) if (output.case === "stdout") break;
      await subject.driver.stop({ sandboxId: id, graceMs: 50 });
      expect(await listed(id)).toMatchObject({ running: false });
    });

    it("tells when a supervisor is killed, and every process of the sandbox dies with it", async () => {
      const { id, plane, session } = await run();
      const sleeper = plane.exec(session, { command: ["sh", "-c", "echo on; exec setsid sleep 1000"] });
      for await (const { output } of sleeper.outputs) if (output.case === "stdout") break;
      const exit = nextExit();
      subject.killSupervisor(id);
      expect(await exit).toMatchObject({ sandboxId: id, incarnation: 1n });
      expect(await listed(id)).toMatchObject({ running: false, incarnation: 1n });
      expect((await subject.tracesOf(id)).filter((trace) => trace.startsWith("process"))).toEqual([]);
    });

    it("ends what was just being started when the supervisor died, and outlived it", async () => {
      const { id } = await run();
      await subject.leaveOrphan(id);
      const exit = nextExit();
      subject.killSupervisor(id);
      expect(await exit).toMatchObject({ sandboxId: id, incarnation: 1n });
      expect((await subject.tracesOf(id)).filter((trace) => trace.startsWith("process"))).toEqual([]);
    });

    it("ends it also where the driver was dead when the supervisor died", async () => {
      const { id } = await run();
      await subject.leaveOrphan(id);
      await subject.crash(() => subject.killSupervisor(id));
      await vi.waitFor(async () => {
        expect(await listed(id)).toEqual({ sandboxId: id, running: false, incarnation: 1n });
        expect((await subject.tracesOf(id)).filter((trace) => trace.startsWith("process"))).toEqual([]);
      }, 10_000);
    });

    it("survives a kill -9 of the driver: the sandbox lives, is found, watched and removed", async () => {
      const { id, plane, session } = await run();
      await subject.crash();
      expect(await plane.exec(session, { command: ["true"] }).collect()).toMatchObject({ exit: { code: 0 } });
      expect(await listed(id)).toEqual({ sandboxId: id, running: true, incarnation: 1n });
      await subject.driver.start(startOf(id, plane));
      expect(plane.calls.issueSandboxToken).toBe(1);
      const exit = nextExit();
      subject.killSupervisor(id);
      expect(await exit).toMatchObject({ sandboxId: id, incarnation: 1n });
      await subject.driver.destroy(id);
      expect(await subject.tracesOf(id)).toEqual([]);
    });

    it("finds what a kill -9 left after the directories, and after any later step", async () => {
      const prepared = newId();
      await subject.driver.prepare(prepared);
      const starting = newId();
      const plane = await createFakeControlPlane(starting);
      planes.push(plane);
      await subject.trust(plane);
      await subject.driver.prepare(starting);
      const lost = subject.driver.start(startOf(starting, plane)).catch(() => {});
      await subject.crash();
      await lost;
      expect(await listed(prepared)).toEqual({ sandboxId: prepared, running: false });
      for (const id of [prepared, starting]) {
        await subject.driver.destroy(id);
        expect(await subject.tracesOf(id)).toEqual([]);
      }
    });

    it("leaves nothing behind: no process, mount, socket or directory, whatever the workload left", async () => {
      const { id, plane, session } = await run();
      const litter = [
        "mkdir -p /workspace/closed/in && chmod 000 /workspace/closed",
        "ln -s / /workspace/root; ln -s /etc/passwd /tmp/passwd; mkfifo /tmp/fifo",
        `${subject.runtime.join(" ")} -e 'for (let i = 0; i < 60; i++) { const name = "y".repeat(100); require("fs").mkdirSync(name); process.chdir(name); }'`,
        "(setsid sleep 1000 &) ; exit 0",
      ].join("\n");
      const { exit, stderr } = await plane.exec(session, { command: ["sh", "-c", litter] }).collect();
      expect({ code: exit?.code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(await subject.tracesOf(id)).not.toEqual([]);
      await subject.driver.destroy(id);
      expect(await subject.tracesOf(id)).toEqual([]);
      expect(await listed(id)).toBeUndefined();
    });

    it("removes a sandbox that is not there, again and again", async () => {
      const id = newId();
      await subject.driver.destroy(id);
      await subject.driver.destroy(id);
      expect(await listed(id)).toBeUndefined();
    });
  });
}
