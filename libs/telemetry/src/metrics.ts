import { collectDefaultMetrics, Registry } from "prom-client";

/** Makes a program's metrics registry, with the process's own metrics (CPU, memory, event loop, garbage collection) in it. */
export function createMetrics(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return registry;
}
