/** What a supervisor signs to prove its key: bound to this use, this sandbox and this challenge. */
export function rejoinTranscript(sandboxId: string, challenge: Uint8Array): Uint8Array {
  const prefix = new TextEncoder().encode(`sandgate rejoin\n${sandboxId}\n`);
  const transcript = new Uint8Array(prefix.length + challenge.length);
  transcript.set(prefix);
  transcript.set(challenge, prefix.length);
  return transcript;
}
