import { Agent } from "node:http";
import type Docker from "dockerode";
import { DriverRefusal } from "../sandbox-driver.ts";

/** What went wrong between us and the engine. */
export type EngineFaultKind =
  /** Nobody listens there, or we may not ask. */
  | "unreachable"
  /** No answer in time. */
  | "silent"
  /** An answer that says no. */
  | "refused";

/** The container engine did not do what it was asked, which may pass. */
export class EngineFault extends DriverRefusal {
  readonly kind: EngineFaultKind;
  /** What it was asked, in plain words. */
  readonly asked: string;
  /** Of the engine's answer. */
  readonly status: number | undefined;

  constructor(options: {
    readonly kind: EngineFaultKind;
    readonly asked: string;
    readonly socket: string;
    readonly status?: number;
    readonly cause?: unknown;
  }) {
    const { kind, asked, socket, status, cause } = options;
    super(messages[kind], `docker --host unix://${socket} info`, { cause, mayPass: true });
    this.kind = kind;
    this.asked = asked;
    this.status = status;
  }
}

const messages: Readonly<Record<EngineFaultKind, string>> = {
  unreachable: "the container engine cannot be reached",
  silent: "the container engine does not answer",
  refused: "the container engine refuses what it is asked",
};

/** A container engine behind a socket, asked with a deadline. */
export class Engine {
  readonly #socket: string;
  readonly #deadlineMs: number;
  #client: Promise<Docker> | undefined;

  constructor(options: { readonly socket: string; readonly deadlineMs: number }) {
    this.#socket = options.socket;
    this.#deadlineMs = options.deadlineMs;
  }

  /** Asks for one thing. Throws EngineFault; `asked` says in plain words what. */
  async ask<T>(asked: string, ask: (docker: Docker, signal: AbortSignal) => Promise<T>, extraMs = 0): Promise<T> {
    const deadline = AbortSignal.timeout(this.#deadlineMs + extraMs);
    const silence = new Promise<never>((_, reject) => {
      const late = (): void => reject(new EngineFault({ kind: "silent", asked, socket: this.#socket }));
      deadline.addEventListener("abort", late, { once: true });
    });
    silence.catch(() => {}); // it may come when nobody waits any more
    try {
      this.#client ??= openClient(this.#socket);
      return await Promise.race([ask(await this.#client, deadline), silence]);
    } catch (cause) {
      throw this.#toFault(asked, cause, deadline);
    }
  }

  /** As `ask`; undefined where the engine has no such thing. */
  async find<T>(asked: string, ask: (docker: Docker, signal: AbortSignal) => Promise<T>): Promise<T | undefined> {
    try {
      return await this.ask(asked, ask);
    } catch (cause) {
      if (cause instanceof EngineFault && cause.status === 404) return undefined;
      throw cause;
    }
  }

  /** What happens from now on to containers with a label, as the engine tells it, until the signal or the engine ends it. */
  async *events(options: {
    readonly label: string;
    readonly signal: AbortSignal;
  }): AsyncGenerator<EngineEvent | "open"> {
    const { label } = options;
    const left = new AbortController();
    const signal = AbortSignal.any([options.signal, left.signal]);
    try {
      const stream = await this.ask("events", (docker) =>
        docker.getEvents({
          filters: { type: ["container"], event: ["die", "died", "oom"], label: [label] },
          abortSignal: signal,
        }),
      );
      yield "open";
      let text = "";
      for await (const chunk of stream) {
        text += String(chunk);
        const lines = text.split("\n");
        text = lines.pop() ?? "";
        for (const line of lines) {
          const event = line === "" ? undefined : parseEvent(line);
          if (event !== undefined) yield event;
        }
      }
    } catch (cause) {
      if (!options.signal.aborted) throw this.#toFault("events", cause, signal);
    } finally {
      left.abort();
    }
  }

  #toFault(asked: string, cause: unknown, deadline: AbortSignal): EngineFault {
    if (cause instanceof EngineFault) return cause;
    const { statusCode: status } = cause as { statusCode?: unknown };
    const common = { asked, socket: this.#socket, cause };
    if (typeof status === "number") return new EngineFault({ ...common, kind: "refused", status });
    return new EngineFault({ ...common, kind: deadline.aborted ? "silent" : "unreachable" });
  }
}

/** Something that happened to a container. */
export interface EngineEvent {
  readonly action: "die" | "oom";
  readonly containerId: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** It is loaded only where there is an engine. No variable such as DOCKER_HOST leads elsewhere. */
async function openClient(socketPath: string): Promise<Docker> {
  const { default: Client } = await import("dockerode");
  // A connection for each question: one that was kept would be dead after a restart of the engine.
  const options = { ...elsewhere, socketPath, protocol: "http" as const, agent: new Agent({ keepAlive: false }) };
  return new Client(options);
}

/** What the client would otherwise take from its environment. */
const elsewhere = {
  host: undefined,
  port: undefined,
  ca: undefined,
  cert: undefined,
  key: undefined,
  timeout: undefined,
};

function parseEvent(line: string): EngineEvent | undefined {
  let event: unknown;
  try {
    event = JSON.parse(line);
  } catch {
    return undefined; // no engine's: what has ended is found when they are listed again
  }
  // the shape of Docker's API: {"Action":"die","Actor":{"ID":"…","Attributes":{…}}}
  const { Action, Actor } = (event ?? {}) as {
    Action?: unknown;
    Actor?: { ID?: unknown; Attributes?: Record<string, string> };
  };
  if ((Action !== "die" && Action !== "died" && Action !== "oom") || typeof Actor?.ID !== "string") return undefined;
  return { action: Action === "oom" ? "oom" : "die", containerId: Actor.ID, labels: Actor.Attributes ?? {} };
}
