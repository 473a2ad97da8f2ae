import { readFileSync, writeSync } from "node:fs";
import { createLogger, createMetrics, type Logger } from "@sandgate/telemetry";
import { type CrashFiles, followCrashFiles, type ReachCrashPoint } from "../../../libs/testing/src/crash-points.ts";

/** What a host is told in the file that its first argument names. */
export interface CrashOrders {
  readonly config: unknown;
  readonly files: CrashFiles;
  /** The life of a sandbox's session where it is to be shorter than a configuration may ask for. */
  readonly sessionSeconds?: number | undefined;
}

/** Runs a program of ours in a process that can be killed at its crash points. It says "ready" on descriptor 3, and ends at SIGTERM. */
export async function runCrashHost(
  start: (context: {
    readonly orders: CrashOrders;
    readonly reach: ReachCrashPoint;
    readonly deps: {
      readonly logger: Logger;
      readonly registry: ReturnType<typeof createMetrics>;
      readonly clock: () => number;
    };
  }) => Promise<{ stop(): Promise<void> }>,
): Promise<void> {
  const orders = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as CrashOrders; // written by crash-program.ts
  const logger = createLogger({ service: process.argv[3] ?? "", level: "info" });
  const deps = { logger, registry: createMetrics(), clock: Date.now };
  const running = await start({ orders, reach: followCrashFiles(orders.files), deps });
  process.once("SIGTERM", () => {
    setTimeout(() => {
      writeSync(2, `it does not stop: ${process.getActiveResourcesInfo().join(" ")}\n`);
      process.exit(1);
    }, 60_000);
    void running.stop().then(() => process.exit(0));
  });
  writeSync(3, "ready\n");
}

/** Settings of Auth with the life of a session that the orders ask for. */
export function withSessionLife<T extends { readonly lives: { readonly session_minutes: number } }>(
  settings: T,
  { sessionSeconds }: CrashOrders,
): T {
  if (sessionSeconds === undefined) return settings;
  return { ...settings, lives: { ...settings.lives, session_minutes: sessionSeconds / 60 } };
}
