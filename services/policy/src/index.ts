export { createPolicyModule, type PolicyModule, type PolicyModuleDeps } from "./module.ts";
export { type OpenPolicy, openPolicy, type PolicyParts } from "./open-policy.ts";
export { policySettings } from "./policy-config.ts";
export { startPolicy } from "./start-policy.ts";
