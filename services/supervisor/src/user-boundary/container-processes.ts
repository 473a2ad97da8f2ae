import { readdirSync, readFileSync } from "node:fs";
import { sendSignal } from "../process/workload-process.ts";

/** A process as /proc shows it, which everybody may read there. */
interface ContainerProcess {
  readonly pid: number;
  readonly session: number;
  readonly foreground: number;
}

/** Ends every process of a session. One that has begun a session of its own is not in it any more. */
export function killSession(session: number): void {
  killAll(() => listProcesses().filter((each) => each.session === session));
}

/** Ends every process of a user. */
export function killUser(uid: number): void {
  killAll(() => listProcesses().filter(({ pid }) => uidOf(pid) === uid));
}

/** Asks every process of a user to end. */
export function terminateUser(uid: number): void {
  for (const { pid } of listProcesses()) if (uidOf(pid) === uid) sendSignal(pid, "SIGTERM");
}

/** Whether a user has a process. */
export function hasProcess(uid: number): boolean {
  return listProcesses().some(({ pid }) => uidOf(pid) === uid);
}

/** The foreground group of the terminal that a process leads; its own group where it has none. */
export function foregroundGroupOf(leader: number): number {
  const foreground = readProcess(String(leader))?.foreground ?? 0;
  return foreground > 1 ? foreground : leader;
}

/** They are stopped before they are killed, so that none makes another one in the meantime. */
function killAll(find: () => readonly ContainerProcess[]): void {
  const stopped = new Set<number>();
  for (let round = 0; round < 100; round += 1) {
    const found = find().filter(({ pid }) => !stopped.has(pid));
    if (found.length === 0) break;
    for (const { pid } of found) {
      sendSignal(pid, "SIGSTOP");
      stopped.add(pid);
    }
  }
  for (const pid of stopped) sendSignal(pid, "SIGKILL");
}

/** Every process that has not ended. */
function listProcesses(): readonly ContainerProcess[] {
  return readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) ? (readProcess(name) ?? []) : []));
}

function readProcess(pid: string): ContainerProcess | undefined {
  const stat = read(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // Fields after the name, which may hold anything but ends with the last ")": state, ppid, pgrp, session, tty_nr, tpgid.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  if (fields[0] === "Z" || fields[0] === "X") return undefined;
  return { pid: Number(pid), session: Number(fields[3]), foreground: Number(fields[5]) };
}

function uidOf(pid: number): number | undefined {
  const uid = /^Uid:\s+(\d+)/m.exec(read(`/proc/${pid}/status`) ?? "")?.[1];
  return uid === undefined ? undefined : Number(uid);
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return undefined; // it has ended
  }
}
