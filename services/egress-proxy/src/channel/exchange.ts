import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Verdict } from "@sandgate/api/policy";
import type { Asked, Authority, PolicyDenial } from "@sandgate/policy";
import type { DecisionReport } from "../control/decision-log.ts";
import type { CutReason, Refusal } from "../decision/refusal.ts";

/** What an allowed exchange rests on. */
export interface Allowance {
  readonly asked: Asked;
  readonly rule: string;
  readonly policyRevision: bigint;
  readonly tokenId: string;
  /** Why it would be denied if the policy did not merely observe. */
  readonly wouldDeny: PolicyDenial | undefined;
}

/** One request from its first byte to its last: what is reported of it, and how it is cut. */
export class Exchange {
  readonly decisionId: string;
  readonly #report: (report: DecisionReport) => void;
  readonly #clock: () => number;
  readonly #startedAt: number;
  readonly #abort = new AbortController();
  #facts: DecisionReport;
  #destination: Authority | undefined;
  #asked: Asked | undefined;
  #credential: { isStillGranted(): boolean } | undefined;
  #wouldDeny: PolicyDenial | undefined;
  #dialled: { readonly address: string; readonly vetted: boolean } | undefined;
  #ended = false;

  constructor(options: {
    readonly decisionId: string;
    readonly sandboxId: string;
    readonly clock: () => number;
    readonly report: (report: DecisionReport) => void;
  }) {
    this.decisionId = options.decisionId;
    this.#report = options.report;
    this.#clock = options.clock;
    this.#startedAt = options.clock();
    this.#facts = {
      decisionId: options.decisionId,
      sandboxId: options.sandboxId,
      time: timestampFromMs(this.#startedAt),
    };
  }

  /** Aborts when the exchange is cut. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Where it leads, once it is known and allowed. */
  get destination(): Authority | undefined {
    return this.#destination;
  }

  /** What of the destination was allowed. */
  get asked(): Asked | undefined {
    return this.#asked;
  }

  /** What was dialled. */
  get dialled(): { readonly address: string; readonly vetted: boolean } | undefined {
    return this.#dialled;
  }

  /** What of it rests on a provider, if anything does. */
  get credential(): { isStillGranted(): boolean } | undefined {
    return this.#credential;
  }

  /** Says that a secret goes with it: a change of what is granted may cut it from now on. */
  use(credential: { isStillGranted(): boolean }): void {
    this.#credential = credential;
  }

  /** The canonical destination as far as it is known; empty and 0 before. */
  get facts(): { readonly host: string; readonly port: number } {
    return { host: this.#facts.host ?? "", port: this.#facts.port ?? 0 };
  }

  /** Says what is asked for, once the request is understood. */
  describe(method: string, { host, port }: Authority): void {
    this.#facts = { ...this.#facts, method, host: host.text, port };
  }

  /** Says what allowed it. From now on a change of policy may cut it. */
  allow(destination: Authority, { asked, rule, policyRevision, wouldDeny }: Allowance): void {
    this.#destination = destination;
    this.#asked = asked;
    this.#wouldDeny = wouldDeny;
    this.#facts = { ...this.#facts, rule, policyRevision };
  }

  /** Reports it as allowed, or as let through by a policy that observes, with the address that was dialled. */
  reach(dialled: { readonly address: string; readonly vetted: boolean }): void {
    this.#dialled = dialled;
    const verdict = this.#wouldDeny === undefined ? Verdict.ALLOWED : Verdict.WOULD_DENY;
    this.#facts = { ...this.#facts, verdict, reason: this.#wouldDeny ?? "", address: dialled.address };
    this.#report(this.#facts);
  }

  /** Reports why it was not served, or not any further. */
  refuse({ kind, status, reason, rule, policyRevision }: Omit<Refusal, keyof Error>): void {
    if (this.#ended) return;
    const failed = kind === "fault" && status >= 500 && this.#destination !== undefined;
    this.#end({
      verdict: failed ? Verdict.FAILED : Verdict.DENIED,
      reason,
      ...(rule === "" ? {} : { rule }),
      ...(policyRevision === 0n ? {} : { policyRevision }),
    });
  }

  /** Cuts it: everything that waits on its signal ends, and the report says why. */
  cut(reason: CutReason): void {
    if (this.#abort.signal.aborted) return;
    this.#facts = { ...this.#facts, reason };
    this.#abort.abort();
  }

  /** Ends what waits on its signal because the client has gone. */
  abandon(): void {
    this.#abort.abort();
  }

  /** Nothing of it is reported: the proxy answered it by itself, and nothing was decided. */
  keepToItself(): void {
    this.#ended = true;
  }

  /** Reports its end, if its request was understood and nothing was said of its end yet. */
  close(): void {
    if (!this.#ended && this.#facts.host !== undefined) this.#end({});
  }

  /** Reports its end. */
  finish(bytes: { readonly sentBytes: number; readonly receivedBytes: number }): void {
    if (this.#ended) return;
    this.#end({ sentBytes: BigInt(bytes.sentBytes), receivedBytes: BigInt(bytes.receivedBytes) });
  }

  #end(facts: Partial<DecisionReport>): void {
    this.#ended = true;
    const duration = durationFromMs(Math.max(0, Math.round(this.#clock() - this.#startedAt)));
    const known = { ...this.#facts, ...facts, duration };
    // Nothing decided it: it was cut, or its client left, before it was reached.
    const verdict = known.verdict ?? (known.reason === undefined ? Verdict.FAILED : Verdict.DENIED);
    this.#facts = { ...known, verdict, reason: known.reason ?? "client_closed" };
    this.#report(this.#facts);
  }
}
