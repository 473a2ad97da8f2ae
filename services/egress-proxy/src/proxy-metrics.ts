import { Verdict } from "@sandgate/api/policy";
import { Counter, Gauge, type Registry } from "prom-client";
import type { DecisionReport } from "./control/decision-log.ts";

/** What the proxy counts. No label holds a host, a sandbox or anything else that a sandbox chooses. */
export class ProxyMetrics {
  readonly #decisions: Counter<"verdict" | "reason">;
  readonly #bytes: Counter<"direction">;
  readonly #connections: Gauge;
  readonly #dropped: Counter;

  constructor(
    registry: Registry,
    sources: { readonly pendingDecisions: () => number; readonly policies: () => number },
  ) {
    const registers = [registry];
    this.#decisions = new Counter({
      name: "sandgate_egress_decisions_total",
      help: "Decisions that have ended, by verdict and reason.",
      labelNames: ["verdict", "reason"],
      registers,
    });
    this.#bytes = new Counter({
      name: "sandgate_egress_bytes_total",
      help: "Bytes sent to destinations and received from them.",
      labelNames: ["direction"],
      registers,
    });
    this.#connections = new Gauge({
      name: "sandgate_egress_connections",
      help: "Open connections of sandboxes.",
      registers,
    });
    this.#dropped = new Counter({
      name: "sandgate_egress_decisions_dropped_total",
      help: "Decisions that were not reported because the queue was full or the report was refused.",
      registers,
    });
    new Gauge({
      name: "sandgate_egress_decisions_pending",
      help: "Decisions that wait to be stored.",
      registers,
      collect() {
        this.set(sources.pendingDecisions());
      },
    });
    new Gauge({
      name: "sandgate_egress_policies",
      help: "Policies that are enforced.",
      registers,
      collect() {
        this.set(sources.policies());
      },
    });
  }

  /** Counts a decision that has ended. */
  count(report: DecisionReport): void {
    const verdict = Verdict[report.verdict ?? Verdict.UNSPECIFIED].toLowerCase();
    this.#decisions.inc({ verdict, reason: report.reason ?? "" });
    this.#bytes.inc({ direction: "sent" }, Number(report.sentBytes ?? 0n));
    this.#bytes.inc({ direction: "received" }, Number(report.receivedBytes ?? 0n));
  }

  countConnections(change: 1 | -1): void {
    this.#connections.inc(change);
  }

  countDropped(count: number): void {
    this.#dropped.inc(count);
  }
}
