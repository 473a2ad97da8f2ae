/** Whether a text can name a rule, a model route or a credential: 1 to 63 lower-case letters, digits and dashes, no dash first. */
export function isName(text: string): boolean {
  return /^[a-z0-9][a-z0-9-]{0,62}$/.test(text);
}
