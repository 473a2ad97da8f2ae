import type Docker from "dockerode";

/** What went wrong between us and the engine. */
export type EngineFaultKind =
  /** Nobody listens there, or we may not ask. */
  | "unreachable"
  /** No answer in time. */
  | "silent"
  /** An answer that says no. */
  | "refused";

/** The container engine did not do what it was asked. */
export class EngineFault extends Error {
  override readonly name = "EngineFault";
  readonly kind: EngineFaultKind;
  /** Of the engine's answer. */
  readonly status: number | undefined;

  constructor(kind: EngineFaultKind, what: string, options: { status?: number | undefined; cause?: unknown } = {}) {
    super(what, { cause: options.cause });
    this.kind = kind;
    this.status = options.status;
  }
}

/** A container engine behind a socket, asked with a deadline. */
export class Engine {
  readonly #socket: string;
  readonly #deadlineMs: number;
  #client: Promise<Docker> | undefined;

  constructor(options: { readonly socket: string; readonly deadlineMs: number }) {
    this.#socket = options.socket;
    this.#deadlineMs = options.deadlineMs;
  }

  /** Asks for one thing. Throws EngineFault; `what` says in plain words what was asked. */
  async ask<T>(what: string, ask: (docker: Docker, signal: AbortSignal) => Promise<T>, extraMs = 0): Promise<T> {
    const deadline = AbortSignal.timeout(this.#deadlineMs + extraMs);
    const silence = new Promise<never>((_, reject) => {
      deadline.addEventListener(
        "abort",
        () => reject(new EngineFault("silent", `the engine did not answer: ${what}`)),
        {
          once: true,
        },
      );
    });
    silence.catch(() => {}); // it may come when nobody waits any more
    try {
      this.#client ??= openClient(this.#socket);
      return await Promise.race([ask(await this.#client, deadline), silence]);
    } catch (cause) {
      throw toFault(what, cause, deadline);
    }
  }

  /** As `ask`; undefined where the engine has no such thing. */
  async find<T>(what: string, ask: (docker: Docker, signal: AbortSignal) => Promise<T>): Promise<T | undefined> {
    try {
      return await this.ask(what, ask);
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
    const { label, signal } = options;
    const stream = await this.ask("events", (docker) =>
      docker.getEvents({
        filters: { type: ["container"], event: ["die", "died", "oom"], label: [label] },
        abortSignal: signal,
      }),
    );
    yield "open";
    let text = "";
    try {
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
      if (!signal.aborted) throw toFault("events", cause, signal);
    } finally {
      if ("destroy" in stream && typeof stream.destroy === "function") stream.destroy();
    }
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
  return new Client({ ...elsewhere, socketPath, protocol: "http" });
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
  const event: unknown = JSON.parse(line);
  // the shape of Docker's API: {"Action":"die","Actor":{"ID":"…","Attributes":{…}}}
  const { Action, Actor } = event as {
    Action?: unknown;
    Actor?: { ID?: unknown; Attributes?: Record<string, string> };
  };
  if ((Action !== "die" && Action !== "died" && Action !== "oom") || typeof Actor?.ID !== "string") return undefined;
  return { action: Action === "oom" ? "oom" : "die", containerId: Actor.ID, labels: Actor.Attributes ?? {} };
}

function toFault(what: string, cause: unknown, deadline: AbortSignal): EngineFault {
  if (cause instanceof EngineFault) return cause;
  const { statusCode: status, code } = cause as { statusCode?: unknown; code?: unknown };
  if (typeof status === "number") return new EngineFault("refused", `the engine refused: ${what}`, { status, cause });
  if (deadline.aborted) return new EngineFault("silent", `the engine did not answer: ${what}`, { cause });
  return new EngineFault("unreachable", `the engine cannot be reached (${String(code ?? "broken off")}): ${what}`, {
    cause,
  });
}
