import { Gauge, type Registry } from "prom-client";
import { phases } from "./domain/phase.ts";
import type { SandboxLedger } from "./store/sandbox-store.ts";

/** Shows how many sandboxes there are, of all organizations together. While the database does not answer there is no number, rather than an old one. */
export function registerSandboxMetrics(registry: Registry, ledger: Pick<SandboxLedger, "countByPhase">): void {
  new Gauge({
    name: "sandgate_sandboxes",
    help: "Sandboxes that are not DELETED, by phase.",
    labelNames: ["phase"],
    registers: [registry],
    async collect() {
      this.reset();
      const counts = await ledger.countByPhase().catch(() => undefined); // readiness says what is wrong
      if (counts === undefined) return;
      for (const phase of phases) if (phase !== "DELETED") this.set({ phase }, counts.get(phase) ?? 0);
    },
  });
}
