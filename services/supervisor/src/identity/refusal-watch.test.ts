import { create } from "@bufbuild/protobuf";
import { AuthService, GetPrincipalResponseSchema } from "@sandgate/api/auth";
import { SandboxService } from "@sandgate/api/sandbox";
import { createKeyPair } from "@sandgate/pki";
import { type Channel, createClient, type Reason, ServiceError } from "@sandgate/rpc";
import { expect, it } from "vitest";
import { CredentialSlot } from "./credential-slot.ts";
import { watchRefusals } from "./refusal-watch.ts";

function setUp(reason: Reason | undefined, duringCall: (slot: CredentialSlot) => void = () => {}) {
  const slot = new CredentialSlot(createKeyPair());
  slot.session = { certificate: "", token: "t", issuedAt: 0, expiresAt: 1 };
  const answer = async (): Promise<unknown> => {
    duringCall(slot);
    if (reason !== undefined) throw new ServiceError(reason, "no");
    return create(GetPrincipalResponseSchema);
  };
  const stream = async function* (): AsyncGenerator<unknown> {
    yield await answer();
  };
  const channel: Channel = {
    unary: answer,
    clientStream: answer,
    serverStream: stream,
    bidiStream: stream,
    close: () => {},
  };
  const watched = watchRefusals(channel, slot);
  const nothing = async function* (): AsyncGenerator<never> {};
  const calls = {
    unary: () => createClient(AuthService, watched).getPrincipal({}),
    "client stream": () => createClient(SandboxService, watched).pushSandboxLogs(nothing()),
    "server stream": () => drain(createClient(SandboxService, watched).watchSandbox({})),
    "bidirectional stream": () => drain(createClient(SandboxService, watched).relayExec(nothing())),
  };
  return { slot, calls };
}

async function drain(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const _message of stream);
}

const kinds = ["unary", "client stream", "server stream", "bidirectional stream"] as const;

it.each(kinds)("G-15 tells the slot of a session that was refused: %s", async (kind) => {
  const { slot, calls } = setUp("CREDENTIAL_REVOKED");
  await expect(calls[kind]()).rejects.toMatchObject({ reason: "CREDENTIAL_REVOKED" });
  expect(slot.sessionEnd.aborted).toBe(true);
});

it.each(kinds)("says nothing of other failures, and nothing where there is none: %s", async (kind) => {
  const other = setUp("UNAVAILABLE");
  await expect(other.calls[kind]()).rejects.toMatchObject({ reason: "UNAVAILABLE" });
  expect(other.slot.sessionEnd.aborted).toBe(false);
  const good = setUp(undefined);
  await good.calls[kind]();
  expect(good.slot.sessionEnd.aborted).toBe(false);
});

it.each(kinds)("does not hold it against the session that has taken its place: %s", async (kind) => {
  const { slot, calls } = setUp("CREDENTIAL_REVOKED", (changing) => {
    changing.session = { certificate: "", token: "next", issuedAt: 0, expiresAt: 1 };
  });
  await expect(calls[kind]()).rejects.toThrow(ServiceError);
  expect(slot.sessionEnd.aborted).toBe(false);
});
