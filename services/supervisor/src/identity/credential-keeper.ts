import { sign } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { AuthService, RejoinSandboxRequestSchema, SandboxCredentials } from "@sandgate/api/auth";
import { createCsr } from "@sandgate/pki";
import { type Client, type Reason, ServiceError } from "@sandgate/rpc";
import { AsyncQueue } from "../async-queue.ts";
import { type Backoff, createBackoff } from "../backoff.ts";
import type { Logger } from "../logger.ts";
import type { Timers } from "../timers.ts";
import type { CredentialSlot } from "./credential-slot.ts";
import type { CredentialSource } from "./credential-source.ts";
import { renewalTime } from "./renewal-time.ts";

/** What keeps the slot filled. */
export interface CredentialKeeperOptions {
  readonly sandboxId: string;
  readonly slot: CredentialSlot;
  /** Reaches IssueSandboxToken and RejoinSandbox, without a certificate. */
  readonly enrolment: Client<typeof AuthService>;
  /** Reaches RefreshSandboxToken and IssueEgressToken, with the slot's certificate and token. */
  readonly auth: Client<typeof AuthService>;
  readonly timers: Timers;
  readonly random: () => number;
  readonly logger: Logger;
  /** Called when the certificate was replaced after the old one ran out: connections made with it are of no use. */
  readonly onRejoin: () => void;
}

/** Gets, renews and, after a long outage, regains this sandbox's credentials. */
export class CredentialKeeper {
  readonly #options: CredentialKeeperOptions;
  #rejoins = 0n;

  constructor(options: CredentialKeeperOptions) {
    this.#options = options;
  }

  /**
   * Enrols with a credential, which is read for each attempt. Waits for a server that cannot be reached; throws the ServiceError of one
   * that refuses.
   */
  async enrol(readCredential: CredentialSource, signal: AbortSignal): Promise<void> {
    const { sandboxId, slot, enrolment, logger } = this.#options;
    const certificateSigningRequest = createCsr(slot.keys);
    const backoff = this.#backoff();
    for (;;) {
      try {
        const { credentials } = await enrolment.issueSandboxToken(
          { sandboxId, certificateSigningRequest },
          { signal, headers: { authorization: `Bearer ${readCredential()}` } },
        );
        return this.#accept(credentials);
      } catch (cause) {
        if (!isPassing(cause) || signal.aborted) throw cause;
        logger.warn("enrolment waits for the server", { reason: cause.reason });
        await this.#options.timers.wait(backoff.next(), signal);
      }
    }
  }

  /** Renews the session credentials in time, and at once when they were refused, until the signal aborts. */
  async keepSession(signal: AbortSignal): Promise<void> {
    const { slot, timers, logger, sandboxId } = this.#options;
    const backoff = this.#backoff();
    while (!signal.aborted) {
      const { session, sessionEnd } = slot;
      const early = AbortSignal.any([signal, sessionEnd]);
      if (session !== undefined) await timers.wait(renewalTime({ ...session, seed: sandboxId }) - timers.now(), early);
      // A failure leaves the old credentials, whose time of renewal has come: the wait above is none then, the backoff's is.
      while (!signal.aborted && slot.session === session) {
        try {
          await this.renew(signal);
          backoff.reset();
        } catch (cause) {
          if (!(cause instanceof ServiceError)) throw cause;
          if (signal.aborted) return;
          logger.warn("renewal failed", { reason: cause.reason });
          await timers.wait(backoff.next(), signal);
        }
      }
    }
  }

  /** Keeps an egress token in the slot, and replaces one that the proxy has refused, until the signal aborts. */
  async keepEgress(signal: AbortSignal): Promise<void> {
    const { slot, timers, logger, sandboxId, auth } = this.#options;
    const outage = this.#backoff();
    const refusal = this.#backoff();
    while (!signal.aborted) {
      try {
        const issuedAt = timers.now();
        const { token, expireTime } = await auth.issueEgressToken({ sandboxId }, { signal });
        const expiresAt = expireTime === undefined ? issuedAt : timestampMs(expireTime);
        slot.egress = { token, issuedAt, expiresAt };
        outage.reset();
        const early = AbortSignal.any([signal, slot.egressRefused]);
        await timers.wait(renewalTime({ issuedAt, expiresAt, seed: sandboxId }) - timers.now(), early);
        // tokens that are refused as soon as they are new must not be asked for ever faster
        if (slot.egressRefused.aborted) await timers.wait(refusal.next(), signal);
        else refusal.reset();
      } catch (cause) {
        if (!(cause instanceof ServiceError)) throw cause;
        if (signal.aborted) return;
        logger.warn("no egress token", { reason: cause.reason });
        await timers.wait(outage.next(), signal);
      }
    }
  }

  /** Renews the session credentials now. Throws the ServiceError of a server that refuses. */
  async renew(signal: AbortSignal): Promise<void> {
    const { slot, auth, sandboxId, timers } = this.#options;
    if (slot.session !== undefined && slot.session.expiresAt > timers.now()) {
      try {
        const { credentials } = await auth.refreshSandboxToken({ sandboxId }, { signal });
        return this.#accept(credentials);
      } catch (cause) {
        if (!isLostCredential(cause)) throw cause;
      }
    }
    await this.#rejoin(signal);
  }

  async #rejoin(signal: AbortSignal): Promise<void> {
    const { slot, enrolment, sandboxId, logger } = this.#options;
    const requests = new AsyncQueue<MessageInitShape<typeof RejoinSandboxRequestSchema>>();
    requests.push({ step: { case: "sandboxId", value: sandboxId } });
    try {
      const answers = enrolment.rejoinSandbox(requests, { signal, timeoutMs: 10_000 });
      for await (const { step } of answers) {
        if (step.case === "challenge") {
          // Counted before it is sent: a lost answer must not make the next attempt look like a clone's.
          this.#rejoins += 1n;
          const message = Buffer.concat([Buffer.from(`sandgate rejoin\n${sandboxId}\n`), step.value]);
          const proof = sign("sha256", message, { key: slot.keys.privateKey, dsaEncoding: "ieee-p1363" });
          requests.push({ step: { case: "proof", value: proof }, rejoinCount: this.#rejoins });
        } else if (step.case === "credentials") {
          this.#accept(step.value);
          logger.info("rejoined");
          this.#options.onRejoin();
          return;
        }
      }
      throw new ServiceError("UNAVAILABLE", "the server ended the rejoin without an answer");
    } finally {
      requests.end();
    }
  }

  #accept(credentials: SandboxCredentials | undefined): void {
    if (credentials?.certificateExpireTime === undefined || credentials.tokenExpireTime === undefined)
      throw new ServiceError("INTERNAL", "the server issued incomplete credentials");
    const { slot, timers } = this.#options;
    slot.session = {
      certificate: credentials.certificateChain.map(toPem).join(""),
      token: credentials.token,
      issuedAt: timers.now(),
      expiresAt: Math.min(timestampMs(credentials.certificateExpireTime), timestampMs(credentials.tokenExpireTime)),
    };
  }

  #backoff(): Backoff {
    return createBackoff({ firstMs: 100, maxMs: 10_000, random: this.#options.random });
  }
}

/** Reasons that only the server's state makes: the same call can succeed later. */
const passing: ReadonlySet<Reason> = new Set([
  "UNAVAILABLE",
  "TRUST_UNAVAILABLE",
  "IDENTITY_PROVIDER_UNAVAILABLE",
  "DEADLINE_EXCEEDED",
  "INTERNAL",
  "LIMIT_REACHED",
]);

/** Reasons that say that the session is of no use any more; the key may still be. */
const lostCredential: ReadonlySet<Reason> = new Set([
  "CREDENTIAL_MISSING",
  "CREDENTIAL_REJECTED",
  "CREDENTIAL_EXPIRED",
  "CREDENTIAL_REVOKED",
]);

/** Whether an error says that the session that the call was made with is of no use any more. */
export function isLostCredential(cause: unknown): cause is ServiceError {
  return cause instanceof ServiceError && lostCredential.has(cause.reason);
}

function isPassing(cause: unknown): cause is ServiceError {
  return cause instanceof ServiceError && passing.has(cause.reason);
}

function toPem(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}
