export { authSettings, findAuthenticatorFaults, toOperatorRecords } from "./auth-config.ts";
export { startJwksServer } from "./keys/jwks-server.ts";
export { loadSigningKeys, type SigningKeys } from "./keys/signing-keys.ts";
export { type AuthModule, type AuthModuleDeps, createAuthModule } from "./module.ts";
export type { SandboxSockets } from "./sandbox-sockets.ts";
