export {
  authSettings,
  localOperatorBehindLocalAddresses,
  toOperatorRecords,
  usersCanBeAuthenticated,
} from "./auth-config.ts";
export { type AuthModule, type AuthModuleDeps, createAuthModule } from "./module.ts";
export { type AuthParts, type AuthSettings, type OpenAuth, openAuth } from "./open-auth.ts";
export { startAuth } from "./start-auth.ts";
