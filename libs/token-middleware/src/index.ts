export type { ContainerToken } from "./container-token.ts";
export { fetchStyle, guardFetch } from "./fetch-style.ts";
export { nodeStyle } from "./node-style.ts";
export type { Presentation, Refusal, Verdict } from "./refusal.ts";
export { createTokenCheck, type TokenCheck } from "./token-check.ts";
export type { ContainerBinding, TokenCheckOptions, TokenKeys } from "./token-check-options.ts";
