import type { Admission, Change, Guard } from "./admission.ts";
import type { GuardBackend } from "./guard-backend.ts";
import {
  findJump,
  type IptablesNames,
  iptablesNames,
  type JumpPlace,
  renderChain,
  renderSetChanges,
  renderSets,
} from "./iptables-rules.ts";

const families = [4, 6] as const;
/** How long iptables waits for others that change rules. */
const wait = ["--wait", "5"] as const;

interface Deps extends Guard {
  readonly instance: string;
  /** Runs iptables (4) or ip6tables (6). */
  readonly iptables: (family: 4 | 6, args: readonly string[]) => Promise<string>;
  /** Runs iptables-restore (4) or ip6tables-restore (6). */
  readonly restoreTables: (family: 4 | 6, args: readonly string[], input: string) => Promise<string>;
  /** Runs ipset. */
  readonly ipset: (args: readonly string[], input?: string) => Promise<string>;
}

/**
 * Guards ports with a chain of its own, first in mangle's INPUT, and sets whose elements the kernel ends, for hosts without nft. There is no transaction
 * over sets and both families: what is opened comes after what is shut, and a change that failed is made good by making the guard new.
 */
export class IptablesBackend implements GuardBackend {
  /** Nobody tells of changes, so it looks more often. */
  readonly checkMs = 1_000;
  readonly #deps: Deps;
  readonly #names: IptablesNames;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#names = iptablesNames(deps.instance);
  }

  async restore(admissions: readonly Admission[]): Promise<void> {
    const { ipset, restoreTables } = this.#deps;
    await ipset(["restore", "-exist"], lines(renderSets(this.#names)));
    for (const family of families) {
      const jump = await this.#findJump(family);
      await restoreTables(family, ["--noflush", ...wait], renderChain(this.#names, family, this.#deps, jump));
    }
    await this.change(admissions);
  }

  async change(changes: readonly Change[]): Promise<void> {
    if (changes.length === 0) return;
    await this.#deps.ipset(["restore", "-exist"], lines(renderSetChanges(this.#names, changes)));
  }

  async list(): Promise<string> {
    const { ipset, iptables } = this.#deps;
    const parts: string[] = [];
    for (const family of families) {
      parts.push(await iptables(family, [...wait, "-t", "mangle", "-S", this.#names.chain]));
      parts.push(await this.#findJump(family));
      parts.push((await ipset(["list", "-terse", this.#names.sets[family]])).split("\nSize in memory")[0] ?? "");
    }
    return parts.join("\n");
  }

  follow(): { stop(): Promise<void> } {
    return { stop: async () => undefined };
  }

  async stop(): Promise<void> {}

  async #findJump(family: 4 | 6): Promise<JumpPlace> {
    return findJump(this.#names, await this.#deps.iptables(family, [...wait, "-t", "mangle", "-S", "INPUT"]));
  }
}

function lines(commands: readonly string[]): string {
  return commands.map((command) => `${command}\n`).join("");
}
