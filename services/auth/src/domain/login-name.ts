const pattern = /^[a-z0-9][a-z0-9._%+@-]{0,253}$/i;

/** The login name that a text means: of ASCII alone, so that no two look the same. Undefined for a text that is none. */
export function parseLoginName(text: string): string | undefined {
  // looked at before it is lowered: the lower case of some other letters is ASCII
  return pattern.test(text) ? text.toLowerCase() : undefined;
}
