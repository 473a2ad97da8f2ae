/** Nothing longer is normalized or hashed. */
const maximumBytes = 1_024;
const minimumCharacters = 12;
const maximumCharacters = 256;
const fewestDifferentCharacters = 5;

/** Why a password cannot be chosen. */
export type PasswordFault = "too_short" | "too_long" | "control_character" | "too_uniform" | "login_name";

/**
 * A password as it is hashed: in NFC, so that it is the same however a keyboard composes its letters. Undefined for one that can be
 * nobody's: longer than 256 characters or 1024 bytes, or with a control character.
 */
export function normalizePassword(text: string): string | undefined {
  const password = text.length > 4 * maximumBytes ? undefined : text.normalize("NFC");
  if (password === undefined || hasControlCharacter(password)) return undefined;
  return isTooLong(password) ? undefined : password;
}

/** Why the password cannot be chosen for an account; undefined when it can. Lengths are in code points, after normalization. */
export function findPasswordFault(text: string, login: string): PasswordFault | undefined {
  const password = text.slice(0, 4 * maximumBytes + 1).normalize("NFC");
  if (hasControlCharacter(password)) return "control_character";
  if (isTooLong(password)) return "too_long";
  const characters = [...password];
  if (characters.length < minimumCharacters) return "too_short";
  if (new Set(characters).size < fewestDifferentCharacters) return "too_uniform";
  return password.toLowerCase() === login || password.toLowerCase() === login + login ? "login_name" : undefined;
}

function isTooLong(password: string): boolean {
  return new TextEncoder().encode(password).length > maximumBytes || [...password].length > maximumCharacters;
}

function hasControlCharacter(text: string): boolean {
  return /\p{Cc}/u.test(text);
}
