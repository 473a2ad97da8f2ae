/**
 * Cuts a text to a length and takes out what PostgreSQL's text cannot hold. Other control characters stay: they are escaped
 * where they are shown.
 */
export function cleanText(text: string, length: number): string {
  return text.slice(0, length).toWellFormed().replaceAll("\0", "\uFFFD");
}
