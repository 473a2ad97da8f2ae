export type { SandboxDriver } from "./drivers/sandbox-driver.ts";
export { createSandboxModule, type SandboxModule, type SandboxModuleDeps, type SandboxTiming } from "./module.ts";
export { createDriver, type OpenSandbox, openSandbox, type SandboxParts } from "./open-sandbox.ts";
export type { ControlSockets } from "./reconciler/actions.ts";
export { runtimeDirectories, sandboxSettings } from "./sandbox-config.ts";
export { startSandbox } from "./start-sandbox.ts";
export { PostgresSandboxStore } from "./store/postgres-sandbox-store.ts";
export type { SandboxLedger, SandboxStore } from "./store/sandbox-store.ts";
