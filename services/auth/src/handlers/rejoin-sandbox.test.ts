import { type KeyObject, sign } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { RejoinSandboxRequestSchema, type RejoinSandboxResponse } from "@sandgate/api/auth";
import { createKeyPair, keyThumbprint, readCertificate } from "@sandgate/pki";
import type { Call } from "@sandgate/rpc";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import {
  type AuthBench,
  claimsOf,
  enrol,
  newSandboxId,
  organizationId,
  reasonOf,
  registerSandbox,
  start,
  startAuthBench,
} from "../auth-bench.contract.ts";
import type { CredentialIssuer } from "../credentials/credential-issuer.ts";
import { rejoinSandbox } from "./rejoin-sandbox.ts";

let bench: AuthBench;
beforeAll(async () => {
  bench = await startAuthBench();
});
beforeEach(() => {
  bench.clock.now = start;
});
afterAll(() => bench.stop());

const never = async () => {
  throw new Error("this is not reached");
};

const anonymous = () => bench.as({ principal: { kind: "anonymous", authenticator: "none" } });

const proofOf = (key: KeyObject, sandboxId: string, challenge: Uint8Array) =>
  sign("sha256", Buffer.concat([Buffer.from(`sandgate rejoin\n${sandboxId}\n`), challenge]), {
    key,
    dsaEncoding: "ieee-p1363",
  });

/** Rejoins; the proof is made by `key`, or by `prove` from the challenge. */
async function rejoin(options: {
  readonly sandboxId: string;
  readonly key: KeyObject;
  readonly rejoinCount: bigint;
  readonly prove?: (challenge: Uint8Array) => Uint8Array;
}): Promise<RejoinSandboxResponse> {
  const { sandboxId, key, rejoinCount } = options;
  const challenged = Promise.withResolvers<Uint8Array>();
  const responses = anonymous().rejoinSandbox(
    (async function* () {
      yield { step: { case: "sandboxId" as const, value: sandboxId } };
      const challenge = await challenged.promise;
      const value = options.prove?.(challenge) ?? proofOf(key, sandboxId, challenge);
      yield { step: { case: "proof" as const, value }, rejoinCount };
    })(),
  );
  let last: RejoinSandboxResponse | undefined;
  for await (const response of responses) {
    last = response;
    if (response.step.case === "challenge") challenged.resolve(response.step.value);
  }
  if (last === undefined) throw new Error("no answer");
  return last;
}

describe("RejoinSandbox", () => {
  it("gives credentials for the key that the sandbox enrolled with", async () => {
    const sandbox = await registerSandbox(bench);
    await enrol(bench, sandbox);
    bench.clock.now += 3 * 3_600_000;
    const { step } = await rejoin({ sandboxId: sandbox.sandboxId, key: sandbox.keys.privateKey, rejoinCount: 1n });
    if (step.case !== "credentials") throw new Error("no credentials");
    const [der] = step.value.certificateChain;
    expect(der && readCertificate(der).keyThumbprint).toBe(keyThumbprint(sandbox.keys.publicKey));
    const renewed = sandbox
      .session(String(claimsOf(step.value.token).jti))
      .refreshSandboxToken({ sandboxId: sandbox.sandboxId });
    expect(await reasonOf(renewed)).toBe("OK");
  });

  it("takes each higher count, and revokes the incarnation when a count comes again", async () => {
    const sandbox = await registerSandbox(bench);
    await enrol(bench, sandbox);
    const { sandboxId, keys } = sandbox;
    const attempt = (rejoinCount: bigint) => reasonOf(rejoin({ sandboxId, key: keys.privateKey, rejoinCount }));
    expect(await attempt(1n)).toBe("OK");
    expect(await attempt(5n)).toBe("OK");
    expect(await attempt(5n)).toBe("CREDENTIAL_REVOKED");
    expect((await bench.module.subjects.findSandbox(sandboxId))?.trusted).toBe(false);
    expect(bench.module.trust.isIncarnationRevoked(sandboxId, 1n)).toBe(true);
    expect(await attempt(6n)).toBe("PROOF_REJECTED");
    const { events } = await bench.audit.list({ organizationId, sandboxId, pageSize: 10, pageToken: "" });
    expect(events.map(({ action }) => action)).toContain("sandbox.key_cloned");
  });

  it("takes the place of every session before it: a second holder of the key is refused, rejoins, and is found out", async () => {
    const sandbox = await registerSandbox(bench);
    const { tokenId } = await enrol(bench, sandbox);
    const { sandboxId, keys } = sandbox;
    await rejoin({ sandboxId, key: keys.privateKey, rejoinCount: 1n }); // the clone, with the count of a memory image
    expect(bench.module.trust.isTokenSuperseded(tokenId)).toBe(true);
    expect(await reasonOf(sandbox.session(tokenId).refreshSandboxToken({ sandboxId }))).toBe("CREDENTIAL_REVOKED");
    expect(await reasonOf(rejoin({ sandboxId, key: keys.privateKey, rejoinCount: 1n }))).toBe("CREDENTIAL_REVOKED");
    expect(bench.module.trust.isIncarnationRevoked(sandboxId, 1n)).toBe(true);
  });

  it("lets one of two rejoins with the same count through at most", async () => {
    const sandbox = await registerSandbox(bench);
    await enrol(bench, sandbox);
    const { sandboxId, keys } = sandbox;
    const outcomes = await Promise.all(
      [1n, 1n].map((rejoinCount) => reasonOf(rejoin({ sandboxId, key: keys.privateKey, rejoinCount }))),
    );
    expect(outcomes.sort()).toEqual(["CREDENTIAL_REVOKED", "OK"]);
  });

  it("tells whoever proves nothing the same of every sandbox", async () => {
    const enrolled = await registerSandbox(bench);
    await enrol(bench, enrolled);
    const notEnrolled = await registerSandbox(bench);
    const retired = await registerSandbox(bench);
    await enrol(bench, retired);
    await bench.sandboxService.retireSandbox({ sandboxId: retired.sandboxId });
    const key = createKeyPair().privateKey;
    for (const sandboxId of [enrolled, notEnrolled, retired].map((sandbox) => sandbox.sandboxId).concat(newSandboxId()))
      expect(await reasonOf(rejoin({ sandboxId, key, rejoinCount: 1n }))).toBe("PROOF_REJECTED");
  });

  it.each<[string, (key: KeyObject, sandboxId: string) => (challenge: Uint8Array) => Uint8Array]>([
    ["another challenge", (key, id) => () => proofOf(key, id, new Uint8Array(32))],
    ["another sandbox", (key) => (challenge) => proofOf(key, newSandboxId(), challenge)],
    ["the challenge alone", (key) => (challenge) => sign("sha256", challenge, { key, dsaEncoding: "ieee-p1363" })],
    ["zeros", () => () => new Uint8Array(64)],
  ])("refuses a proof over %s", async (_name, prover) => {
    const sandbox = await registerSandbox(bench);
    await enrol(bench, sandbox);
    const { sandboxId, keys } = sandbox;
    const prove = prover(keys.privateKey, sandboxId);
    expect(await reasonOf(rejoin({ sandboxId, key: keys.privateKey, rejoinCount: 1n, prove }))).toBe("PROOF_REJECTED");
  });

  it("refuses a sandbox that is retired or revoked, with the right key too", async () => {
    for (const end of ["retire", "revoke"] as const) {
      const sandbox = await registerSandbox(bench);
      await enrol(bench, sandbox);
      const { sandboxId, keys } = sandbox;
      if (end === "retire") await bench.sandboxService.retireSandbox({ sandboxId });
      else await bench.as({}).revokeSandbox({ sandbox: sandboxId });
      expect(await reasonOf(rejoin({ sandboxId, key: keys.privateKey, rejoinCount: 1n }))).toBe("PROOF_REJECTED");
    }
  });

  describe("without a proof", () => {
    const handlerOf = (limits: { readonly proofTimeoutMs?: number; readonly maxWaiting?: number }) =>
      rejoinSandbox({
        store: { findEnrolledKey: never, rejoin: never },
        issuer: {} as CredentialIssuer,
        feed: { reached: never },
        recordDenial: never,
        clock: () => start,
        ...limits,
      });
    /** Begins, and proves nothing; answers what comes after the challenge. */
    const begin = async (handler: ReturnType<typeof handlerOf>): Promise<{ readonly outcome: Promise<string> }> => {
      const silent = Promise.withResolvers<never>();
      const requests = (async function* () {
        yield create(RejoinSandboxRequestSchema, { step: { case: "sandboxId", value: newSandboxId() } });
        await silent.promise;
      })();
      const responses = handler(requests, { signal: new AbortController().signal } as Call)[Symbol.asyncIterator]();
      expect((await responses.next()).value).toMatchObject({ step: { case: "challenge" } });
      const outcome = responses.next().then(
        () => "OK",
        (error: { reason: string }) => error.reason,
      );
      return { outcome };
    };

    it("nobody is waited for longer than it says", async () => {
      const { outcome } = await begin(handlerOf({ proofTimeoutMs: 20 }));
      expect(await outcome).toBe("DEADLINE_EXCEEDED");
    });

    it("those who keep others waiting make room for who comes later: strangers cannot keep supervisors out", async () => {
      const handler = handlerOf({ maxWaiting: 2 });
      const outcomes: string[] = [];
      for (const name of ["first", "second", "third", "fourth"]) {
        const { outcome } = await begin(handler);
        void outcome.then((reason) => outcomes.push(`${name} ${reason}`));
      }
      await vi.waitFor(() => expect(outcomes).toEqual(["first LIMIT_REACHED", "second LIMIT_REACHED"]));
    });
  });

  it.each([
    ["a name that is no id", { step: { case: "sandboxId" as const, value: "../x" } }],
    ["a proof first", { step: { case: "proof" as const, value: new Uint8Array(64) } }],
    ["nothing", { step: { case: undefined } }],
  ])("refuses %s", async (_name, message) => {
    const read = async () => {
      for await (const _ of anonymous().rejoinSandbox(
        (async function* () {
          yield message;
        })(),
      ));
    };
    expect(await reasonOf(read())).toBe("REQUEST_INVALID");
  });
});
