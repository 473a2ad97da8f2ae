export { type BuiltSupervisor, buildSupervisor } from "./build-supervisor.ts";
export {
  type CrashFiles,
  type CrashPointOptions,
  crashPointMethods,
  dieHere,
  followCrashFiles,
  type ReachCrashPoint,
  withCrashPoints,
} from "./crash-points.ts";
export {
  createFakeControlPlane,
  type FakeCall,
  type FakeControlPlane,
  type FakeExec,
  type FakeSession,
} from "./fake-control-plane.ts";
export { type KubernetesApi, startKubernetesApi, type TestPod } from "./kubernetes-api.ts";
export { type SupervisorProgram, startSupervisorProgram, supervisorRoot } from "./supervisor-program.ts";
export { createThrowAwayDatabase, type ThrowAwayDatabase } from "./throw-away-database.ts";
