import type { MessageInitShape } from "@bufbuild/protobuf";
import { SigningKeyState } from "@sandgate/api/auth";
import { type ExecSandboxRequestSchema, Phase, type Sandbox } from "@sandgate/api/sandbox";
import { ServiceError } from "@sandgate/rpc";
import { expect, vi } from "vitest";
import type { CrashBench } from "./crash-bench.ts";
import { supervisorPointVariable } from "./crash-points.ts";

/** A way for one sandbox to live, and the time from which on crash points count. */
export interface Life {
  readonly name:
    | "usual"
    | "from the start of the programs to their end"
    | "with a command run in it"
    | "stopped and started again"
    | "ended as idle"
    | "long"
    | "deleted by its time"
    | "revoked"
    | "with a signing key revoked"
    | "renewing its session"
    | "away for longer than its session";
  readonly sessionSeconds?: number;
}

/** Every life, the usual first. */
export const lives: readonly Life[] = [
  { name: "usual" },
  { name: "with a command run in it" },
  { name: "stopped and started again" },
  { name: "ended as idle" },
  { name: "from the start of the programs to their end" },
  { name: "deleted by its time" },
  { name: "long" },
  { name: "revoked" },
  { name: "with a signing key revoked" },
  { name: "renewing its session", sessionSeconds: 10 },
  { name: "away for longer than its session", sessionSeconds: 5 },
];

/** Asks the proxy until it answers that the policy denies the host, and not that it has no news of the policy yet. */
const deniedRequest = `const ask = () => require("node:http").get("http://denied.example/", (answer) => {
    answer.resume();
    if (answer.headers["x-deny-reason"] === "host_not_allowed") console.log("hello"); else setTimeout(ask, 100);
  }).on("error", () => setTimeout(ask, 100));
  ask();`;
/** What is left to do when a sandbox is DELETED already. */
const lastPoints = ["policy.retire:after", "proxy.watchPolicies(removal):after"];
const patience = { timeout: 120_000, interval: 25 };

/**
 * Has a sandbox live on a bench, while one of its programs or its supervisor dies at one point. Asserts on the way that the sandbox is
 * whole, or FAILED with a diagnosis where its supervisor died, that nothing that was acknowledged is lost, and that after its removal
 * nothing of it is left. Answers all points that were reached.
 */
export async function liveThrough(bench: CrashBench, life: Life, killAt?: string): Promise<readonly string[]> {
  const sandboxLife = new SandboxLife(bench, life, killAt);
  try {
    return await sandboxLife.run();
  } finally {
    bench.disarm();
  }
}

class SandboxLife {
  readonly #bench: CrashBench;
  readonly #life: Life;
  readonly #killAt: string | undefined;
  /** Whether its supervisor dies, of which nobody but the driver can make a new one. */
  readonly #losesSupervisor: boolean;
  #kills = 0;
  #supervisorPoints: readonly string[] = [];

  constructor(bench: CrashBench, life: Life, killAt: string | undefined) {
    this.#bench = bench;
    this.#life = life;
    this.#killAt = killAt;
    this.#losesSupervisor = killAt?.startsWith("supervisor.") === true;
  }

  async run(): Promise<readonly string[]> {
    const { name, sessionSeconds } = this.#life;
    const bench = this.#bench;
    await bench.prepare(sessionSeconds);
    this.#kills = bench.kills;
    bench.takeRecord();
    if (name === "from the start of the programs to their end") {
      await bench.end();
      this.#arm();
      await bench.start();
    } else this.#arm();

    const sandbox = await this.#create();
    if (this.#losesSupervisor) await this.#loseSupervisor(sandbox);
    else await this.#use(sandbox);
    this.#supervisorPoints = bench.readSupervisorRecord(sandbox.id);
    if (name !== "deleted by its time") await this.#remove(sandbox);
    await this.#reach(sandbox.id, [Phase.DELETED]);
    await vi.waitFor(() => expect(bench.remainsOf(sandbox.id)).toEqual([]), patience);
    if (name === "from the start of the programs to their end") {
      await bench.end();
      await bench.start();
    }
    if (this.#killAt === undefined) for (const point of lastPoints) await this.#untilReached(point);
    else if (!this.#losesSupervisor) await this.#expectKill();
    if (this.#losesSupervisor) expect(this.#supervisorPoints.at(-1)).toBe(this.#killAt);
    await bench.up();
    return [...bench.takeRecord(), ...this.#supervisorPoints];
  }

  #arm(): void {
    this.#bench.arm(this.#losesSupervisor ? undefined : this.#killAt);
  }

  async #expectKill(): Promise<void> {
    await vi.waitFor(() => expect(this.#bench.kills).toBe(this.#kills + 1), patience);
  }

  async #create(): Promise<Sandbox> {
    const name = `crash-${crypto.randomUUID()}`;
    const spec = {
      command: this.#life.name === "usual" ? ["/opt/sandgate/bin/node", "-e", deniedRequest] : [],
      ...(this.#life.name === "deleted by its time" && { ttl: { seconds: 4n } }),
      ...(this.#life.name === "ended as idle" && { idleTimeout: { seconds: 10n } }),
      ...(this.#losesSupervisor && { environment: { [supervisorPointVariable]: this.#killAt ?? "" } }),
    };
    const request = { requestId: crypto.randomUUID(), name, spec };
    const { sandbox } = await this.#insist(() => this.#bench.sandbox.createSandbox(request));
    if (sandbox === undefined) throw new Error("an answer without a sandbox");
    // the acknowledged row is there, once
    const { sandboxes } = await this.#insist(() => this.#bench.sandbox.listSandboxes({}));
    expect(sandboxes.filter((each) => each.name === name).map(({ id }) => id)).toEqual([sandbox.id]);
    return sandbox;
  }

  async #use({ id }: Sandbox): Promise<void> {
    const bench = this.#bench;
    if (this.#life.name === "deleted by its time") return; // which may come before it is READY
    const whole = await this.#reach(id, [this.#life.name === "usual" ? Phase.COMPLETED : Phase.READY, Phase.FAILED]);
    expect(whole.failure).toBeUndefined();
    // the policy that was acknowledged is there, once
    const { revisions } = await this.#insist(() => bench.policy.listPolicyRevisions({ sandbox: id }));
    expect(revisions.map(({ revision }) => revision)).toEqual([1n]);
    switch (this.#life.name) {
      case "usual":
        expect(await this.#readLogs(id)).toBe("hello\n");
        await this.#expectDenial(id);
        break;
      case "with a command run in it":
        expect(await this.#insist(() => this.#exec(id))).toBe(0);
        break;
      case "stopped and started again":
        await this.#startAgain(id);
        break;
      case "ended as idle":
        await this.#endAsIdle(id);
        break;
      case "long":
        await this.#untilReached("sandbox.touchSupervisors:before");
        break;
      case "renewing its session":
        await this.#untilReached("auth.refresh:before");
        await this.#untilSupervisorReached(id, "supervisor.refreshSandboxToken:after");
        break;
      case "away for longer than its session":
        await this.#stayAway();
        await this.#untilReached("auth.rejoin:before");
        await this.#untilSupervisorReached(id, "supervisor.rejoinSandbox(credentials):after");
        await this.#reach(id, [Phase.READY]);
        break;
      case "revoked":
        await this.#insist(() => bench.auth.revokeSandbox({ sandbox: id, reason: "a test" }));
        expect((await this.#reach(id, [Phase.FAILED])).failure?.fault).toBe("revoked");
        break;
      case "with a signing key revoked":
        await this.#revokeEgressKey();
        await this.#untilSupervisorReached(id, "supervisor.connectSupervisor(checkSession):after");
        break;
      case "from the start of the programs to their end":
    }
  }

  /** What was written stays, nothing of the first incarnation runs beside the second, and each change is made once. */
  async #startAgain(id: string): Promise<void> {
    const { sandbox } = this.#bench;
    const write = ["sh", "-c", "echo kept > file"];
    if (this.#killAt === undefined) expect(await this.#exec(id, write)).toBe(0);
    else await this.#insist(() => this.#exec(id, write));
    const stop = { sandbox: id, requestId: crypto.randomUUID() };
    await this.#insist(() => sandbox.stopSandbox(stop));
    const stopped = await this.#reach(id, [Phase.STOPPED]);
    expect(stopped).toMatchObject({ incarnation: 1n, desiredPhase: Phase.STOPPED });
    await vi.waitFor(() => expect(this.#bench.processesOf(id)).toEqual([]), patience);
    const start = { sandbox: id, requestId: crypto.randomUUID() };
    await this.#insist(() => sandbox.startSandbox(start));
    const again = await this.#reach(id, [Phase.READY, Phase.FAILED]);
    expect(again.failure).toBeUndefined();
    expect(again.incarnation).toBe(2n);
    expect(await this.#insist(() => this.#exec(id, ["sh", "-c", "test $(cat file) = kept"]))).toBe(0);
  }

  /** It is used, changed, and then stopped because nobody uses it any more. */
  async #endAsIdle(id: string): Promise<void> {
    expect(await this.#insist(() => this.#exec(id))).toBe(0);
    const update = { sandbox: id, requestId: crypto.randomUUID(), setLabels: { changed: "yes" } };
    await this.#insist(() => this.#bench.sandbox.updateSandbox(update));
    const stopped = await this.#reach(id, [Phase.STOPPED]);
    expect(stopped).toMatchObject({ desiredPhase: Phase.STOPPED, labels: { changed: "yes" } });
    await vi.waitFor(() => expect(this.#bench.processesOf(id)).toEqual([]), patience);
  }

  /** The sandbox whose supervisor dies is FAILED, says why and what to do, and no process of it is left; or it was done before. */
  async #loseSupervisor({ id }: Sandbox): Promise<void> {
    const bench = this.#bench;
    const over = [Phase.COMPLETED, Phase.FAILED];
    const { phase } = await this.#reach(id, this.#life.name === "usual" ? over : [Phase.READY, ...over]);
    if (phase === Phase.READY && this.#life.name === "with a command run in it")
      await this.#exec(id).catch((fault: unknown) => expect(fault).toBeInstanceOf(ServiceError));
    if (phase === Phase.READY && this.#life.name === "away for longer than its session") await this.#stayAway();
    if (phase === Phase.READY && this.#life.name === "with a signing key revoked") await this.#revokeEgressKey();
    const lost = await this.#reach(id, over);
    if (lost.phase === Phase.COMPLETED) expect(await this.#readLogs(id)).toBe("hello\n");
    else
      expect(lost.failure).toMatchObject({
        stage: expect.stringMatching(/^(start|run)$/),
        fault: expect.stringMatching(/./),
        nextCommand: expect.stringMatching(/^sandgate /),
      });
    await vi.waitFor(() => expect(bench.processesOf(id)).toEqual([]), patience);
  }

  async #remove({ id }: Sandbox): Promise<void> {
    const removal = { sandbox: id, requestId: crypto.randomUUID() };
    await this.#insist(() => this.#bench.sandbox.deleteSandbox(removal));
  }

  /** The key of egress tokens: the session and what it has open stay good, and every supervisor is asked to make sure of that. */
  async #revokeEgressKey(): Promise<void> {
    const { keys } = await this.#insist(() => this.#bench.auth.listSigningKeys({}));
    const key = keys.find(({ algorithm, state }) => algorithm === "ES256" && state === SigningKeyState.CURRENT);
    if (key === undefined) throw new Error("no key signs egress tokens");
    await this.#insist(() => this.#bench.auth.revokeSigningKey({ kid: key.kid, reason: "a test" }));
  }

  /** The control plane stays away until the session is over. */
  async #stayAway(): Promise<void> {
    const over = Date.now() + (this.#life.sessionSeconds ?? 0) * 1_000;
    await this.#bench.end();
    await vi.waitFor(() => expect(Date.now()).toBeGreaterThan(over), patience);
    await this.#bench.start();
  }

  async #exec(id: string, command: readonly string[] = ["true"]): Promise<number | undefined> {
    async function* start(): AsyncGenerator<MessageInitShape<typeof ExecSandboxRequestSchema>> {
      yield { sandbox: id, message: { case: "start", value: { command: [...command] } } };
    }
    for await (const { output } of this.#bench.sandbox.execSandbox(start()))
      if (output?.output.case === "exit") return output.output.value.code;
    return undefined;
  }

  async #readLogs(id: string): Promise<string> {
    return this.#insist(async () => {
      let output = "";
      for await (const { data } of this.#bench.sandbox.readSandboxLogs({ sandbox: id }))
        output += Buffer.from(data).toString();
      return output;
    });
  }

  /** What the proxy has denied is in the list of decisions, once. A proxy that dies before it reports takes what nobody has acknowledged with it. */
  async #expectDenial(id: string): Promise<void> {
    const expected = this.#killAt === "proxy.reportDecisions:before" ? [] : ["denied.example"];
    if (expected.length === 0) await this.#expectKill();
    await vi.waitFor(async () => {
      const { decisions } = await this.#insist(() => this.#bench.policy.listDecisions({ sandbox: id }));
      const denials = decisions.filter(({ reason }) => reason === "host_not_allowed").map(({ host }) => host);
      expect(denials).toEqual(expected);
    }, patience);
  }

  async #untilReached(point: string): Promise<void> {
    await vi.waitFor(() => expect(this.#bench.readRecord()).toContain(point), patience);
  }

  /** Where nothing dies; else the supervisor may come to it another way. */
  async #untilSupervisorReached(id: string, point: string): Promise<void> {
    if (this.#killAt !== undefined) return;
    await vi.waitFor(() => expect(this.#bench.readSupervisorRecord(id)).toContain(point), patience);
  }

  async #reach(id: string, phases: readonly Phase[]): Promise<Sandbox> {
    return this.#insist(async () => {
      for await (const { sandbox } of this.#bench.sandbox.watchSandbox({ sandbox: id }))
        if (sandbox !== undefined && phases.includes(sandbox.phase)) return sandbox;
      throw new Error("the sandbox has gone");
    });
  }

  /** Calls until it succeeds, as a client does whose control plane comes back. */
  async #insist<T>(call: () => Promise<T>): Promise<T> {
    return vi.waitFor(async () => {
      await this.#bench.up();
      return call();
    }, patience);
  }
}
