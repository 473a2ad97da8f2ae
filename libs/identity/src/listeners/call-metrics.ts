import type { CallOutcome } from "@sandgate/rpc";
import { Counter, type Registry } from "prom-client";

/** Counts calls and authentications (G-32). Labels come from closed sets: methods, reasons, authenticators. */
export class CallMetrics {
  readonly #calls = new Tally();
  readonly #authentications = new Tally();
  readonly #denials = new Tally();
  #seconds = 0;

  constructor(registry: Registry) {
    this.#calls.register(registry, {
      name: "sandgate_calls_total",
      help: "Calls by method and outcome.",
      labels: ["method", "outcome"],
    });
    this.#authentications.register(registry, {
      name: "sandgate_authentications_total",
      help: "Authentications by authenticator and outcome.",
      labels: ["authenticator", "outcome"],
    });
    this.#denials.register(registry, {
      name: "sandgate_denials_total",
      help: "Calls that identity refused, by reason and kind of peer.",
      labels: ["reason", "peer"],
    });
    const seconds = (): number => this.#seconds;
    new Counter({
      name: "sandgate_call_seconds_total",
      help: "Time from the first message of calls to their end, all together; divide by their number for the mean.",
      registers: [registry],
      collect() {
        this.reset();
        this.inc(seconds());
      },
    });
  }

  countCall({ method, outcome, durationMs }: CallOutcome): void {
    this.#calls.add(method.name, outcome);
    this.#seconds += durationMs / 1000;
  }

  countAuthentication(authenticator: string, outcome: string): void {
    this.#authentications.add(authenticator, outcome);
  }

  countDenial(reason: string, peer: string): void {
    this.#denials.add(reason, peer);
  }
}

/** Counts by two labels with nothing but additions; the registry reads it when it is asked. */
class Tally {
  readonly #counts = new Map<string, Map<string, number>>();

  add(first: string, second: string): void {
    const inner = this.#counts.get(first);
    if (inner === undefined) this.#counts.set(first, new Map([[second, 1]]));
    else inner.set(second, (inner.get(second) ?? 0) + 1);
  }

  register(
    registry: Registry,
    metric: { readonly name: string; readonly help: string; readonly labels: readonly [string, string] },
  ): void {
    const counts = this.#counts;
    const [firstName, secondName] = metric.labels;
    new Counter({
      name: metric.name,
      help: metric.help,
      labelNames: [firstName, secondName],
      registers: [registry],
      collect() {
        this.reset();
        for (const [first, inner] of counts)
          for (const [second, count] of inner) this.inc({ [firstName]: first, [secondName]: second }, count);
      },
    });
  }
}
