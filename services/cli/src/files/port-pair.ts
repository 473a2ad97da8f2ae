/** A port on this machine, and one in a sandbox. */
export interface PortPair {
  /** 0: any that is free. */
  readonly local: number;
  readonly remote: number;
}

/** `REMOTE`, or `LOCAL:REMOTE`; undefined for anything else. */
export function parsePortPair(text: string): PortPair | undefined {
  const match = /^(?:(\d{1,5}):)?(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const remote = Number(match[2]);
  const local = match[1] === undefined ? remote : Number(match[1]);
  return remote >= 1 && remote <= 65_535 && local <= 65_535 ? { local, remote } : undefined;
}
