import type { CallOutcome } from "@sandgate/rpc";
import { Counter, type Registry } from "prom-client";

/** Counts calls and authentications (G-32). Labels come from closed sets: methods, reasons, authenticators. */
export class CallMetrics {
  readonly #calls: Counter;
  readonly #authentications: Counter;
  readonly #denials: Counter;
  readonly #seconds: Counter;
  /** A label set is hashed once, not at every call. */
  readonly #counted = new Map<string, { inc(): void }>();

  constructor(registry: Registry) {
    const registers = [registry];
    this.#calls = new Counter({
      name: "sandgate_calls_total",
      help: "Calls by method and outcome.",
      labelNames: ["method", "outcome"],
      registers,
    });
    this.#authentications = new Counter({
      name: "sandgate_authentications_total",
      help: "Authentications by authenticator and outcome.",
      labelNames: ["authenticator", "outcome"],
      registers,
    });
    this.#denials = new Counter({
      name: "sandgate_denials_total",
      help: "Calls that identity refused, by reason.",
      labelNames: ["reason"],
      registers,
    });
    this.#seconds = new Counter({
      name: "sandgate_call_seconds_total",
      help: "Time from the first message of calls to their end, all together; divide by their number for the mean.",
      registers,
    });
  }

  countCall({ method, outcome, durationMs }: CallOutcome): void {
    this.#child(`call/${method.name}/${outcome}`, () => this.#calls.labels(method.name, outcome)).inc();
    this.#seconds.inc(durationMs / 1000);
  }

  countAuthentication(authenticator: string, outcome: string): void {
    this.#child(`authentication/${authenticator}/${outcome}`, () =>
      this.#authentications.labels(authenticator, outcome),
    ).inc();
  }

  countDenial(reason: string): void {
    this.#child(`denial/${reason}`, () => this.#denials.labels(reason)).inc();
  }

  #child(key: string, make: () => { inc(): void }): { inc(): void } {
    let child = this.#counted.get(key);
    if (child === undefined) {
      child = make();
      this.#counted.set(key, child);
    }
    return child;
  }
}
