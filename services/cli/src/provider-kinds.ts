/** The kinds of providers by the names that people use. */
export const providerKinds = ["bearer", "header", "basic"] as const;

/** A kind's name. */
export type ProviderKindName = (typeof providerKinds)[number];
