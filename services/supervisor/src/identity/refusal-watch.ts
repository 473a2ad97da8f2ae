import type { Channel } from "@sandgate/rpc";
import { isLostCredential } from "./credential-keeper.ts";
import type { CredentialSlot } from "./credential-slot.ts";

/** The same channel, on which a call that the slot's session was refused for says so to the slot: whoever keeps it gets another. */
export function watchRefusals(channel: Channel, slot: Pick<CredentialSlot, "session" | "refuseSession">): Channel {
  const report = (session: CredentialSlot["session"], cause: unknown): void => {
    if (isLostCredential(cause)) slot.refuseSession(session);
  };
  const once = async <T>(call: () => Promise<T>): Promise<T> => {
    const { session } = slot;
    try {
      return await call();
    } catch (cause) {
      report(session, cause);
      throw cause;
    }
  };
  const each = async function* <T>(open: () => AsyncIterable<T>): AsyncGenerator<T> {
    const { session } = slot;
    try {
      yield* open();
    } catch (cause) {
      report(session, cause);
      throw cause;
    }
  };
  return {
    unary: (method, request, options) => once(() => channel.unary(method, request, options)),
    clientStream: (method, requests, options) => once(() => channel.clientStream(method, requests, options)),
    serverStream: (method, request, options) => each(() => channel.serverStream(method, request, options)),
    bidiStream: (method, requests, options) => each(() => channel.bidiStream(method, requests, options)),
    close: () => channel.close(),
  };
}
