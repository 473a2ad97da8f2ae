export { newDecisionId } from "./decision-id.ts";
export { defaultLimits, type Limits } from "./limits.ts";
export { createEgressProxyModule, type EgressProxyDeps, type EgressProxyModule } from "./module.ts";
