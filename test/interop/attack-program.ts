import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Attack } from "../integration/attack-matrix/run-matrix.ts";
import { type CallAnswer, describeCall, outcomeOf } from "./described-call.ts";

/** A program of another language that makes a call for each line that it reads, and writes a line about how it ended. */
export interface AttackProgram {
  readonly attack: Attack;
  /** Closes its input and waits for its end. Refuses when it failed. */
  end(): Promise<void>;
}

/** Starts it in a directory. */
export function startAttackProgram(directory: string, [command = "", ...words]: readonly string[]): AttackProgram {
  const child = spawn(command, words, { cwd: directory, stdio: ["pipe", "pipe", "inherit"] });
  const waiting: PromiseWithResolvers<string>[] = [];
  const ended = endOf(child);
  const giveUp = (cause: unknown): void => {
    for (const { reject } of waiting.splice(0)) reject(cause);
  };
  ended.then(() => giveUp(new Error(`${command} ended before it answered`)), giveUp);
  child.stdin.on("error", giveUp);
  createInterface({ input: child.stdout }).on("line", (line) => waiting.shift()?.resolve(line));
  return {
    attack: async (attacker, method, requests) => {
      const answer = Promise.withResolvers<string>();
      waiting.push(answer);
      child.stdin.write(`${JSON.stringify(describeCall(attacker, method, requests))}\n`);
      return outcomeOf(JSON.parse(await answer.promise) as CallAnswer); // a line of a program of ours
    },
    end: async () => {
      child.stdin.end();
      await ended;
    },
  };
}

function endOf(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) =>
      code === 0 ? resolve() : reject(new Error(`the attacker's program exited with ${code}`)),
    );
  });
}
