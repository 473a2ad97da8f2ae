export { createThrowAwayDatabase, type ThrowAwayDatabase } from "./throw-away-database.ts";
export { type BuiltSupervisor, buildSupervisor } from "./build-supervisor.ts";
export { createFakeControlPlane, type FakeControlPlane, type FakeExec, type FakeSession } from "./fake-control-plane.ts";
