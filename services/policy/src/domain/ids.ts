/** Sandbox ids. */
export const sandboxIdPattern = /^sbx-[a-z2-7]{20}$/;

/** Decision ids. */
export const decisionIdPattern = /^dec-[a-z2-7]{20}$/;

/** Names of runs of a proxy process. */
export const proxyRunIdPattern = /^[A-Za-z0-9-]{1,64}$/;

/** UUIDs, in any version and case. */
export const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
