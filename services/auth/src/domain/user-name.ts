/** Whether a text can be a person's name: 1 to 100 characters, none of them for control, beginning and ending with a visible one. */
export function isUserName(text: string): boolean {
  return text === text.trim() && [...text].length >= 1 && [...text].length <= 100 && !/[\p{Cc}\p{Cs}]/u.test(text);
}
