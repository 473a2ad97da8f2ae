import type { Logger } from "@sandgate/telemetry";
import type { Admission, Change, Guard } from "./admission.ts";
import type { GuardBackend } from "./guard-backend.ts";
import { renderChanges, renderProof, renderTable } from "./guard-rules.ts";
import type { NftSession } from "./nft-session.ts";

/** Sessions that end one after the other before there is none any more. */
const MAX_SESSION_FAILURES = 3;

interface Deps extends Guard, Pick<GuardBackend, "follow"> {
  /** Runs nft with these arguments and this standard input. */
  readonly nft: (args: readonly string[], input?: string) => Promise<string>;
  /** An nft that goes on living, for changes; without one each change starts an nft of its own. */
  readonly session: Pick<NftSession, "commit" | "stop"> | undefined;
  /** The name of the table, which nothing else may use. */
  readonly table: string;
  readonly logger: Logger;
}

/** Guards ports with an nftables table of its own. Whatever it does is one transaction, of which the kernel takes all or nothing. */
export class NftablesBackend implements GuardBackend {
  readonly checkMs = 5_000;
  readonly #deps: Deps;
  #session: Deps["session"];
  #sessionFailures = 0;
  #lastMark = 0;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#session = deps.session;
  }

  async restore(admissions: readonly Admission[]): Promise<void> {
    const { nft, table } = this.#deps;
    await nft(["-f", "-"], renderTable(table, this.#deps, admissions));
  }

  async change(changes: readonly Change[]): Promise<void> {
    const { nft, table, logger } = this.#deps;
    const commands = renderChanges(table, changes);
    if (this.#session === undefined) return void (await nft(["-f", "-"], `${commands.join("\n")}\n`));
    this.#lastMark = (this.#lastMark % 0x7fff_ffff) + 1;
    const proof = renderProof(table, this.#lastMark);
    try {
      await this.#session.commit([...commands, proof.command], proof);
      this.#sessionFailures = 0;
    } catch (error) {
      this.#sessionFailures += 1;
      if (this.#sessionFailures >= MAX_SESSION_FAILURES) {
        this.#session = undefined;
        logger.warn({ err: error }, "no nft goes on living here: each change starts one, which takes longer");
      }
      throw error;
    }
  }

  async list(): Promise<string> {
    return await this.#deps.nft(["--terse", "list", "table", "inet", this.#deps.table]);
  }

  follow(onChange: () => void): { stop(): Promise<void> } {
    return this.#deps.follow(onChange);
  }

  async stop(): Promise<void> {
    await this.#session?.stop();
  }
}
