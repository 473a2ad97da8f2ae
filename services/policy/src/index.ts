export { createPolicyModule, type PolicyModule, type PolicyModuleDeps } from "./module.ts";
