import type { AuthService } from "@sandgate/api/auth";
import type { Client } from "@sandgate/rpc";
import { followTrust } from "./follow-trust.ts";
import { RemoteSubjectRegister } from "./remote-subject-register.ts";
import type { SubjectRegister } from "./subject-register.ts";
import { TrustState } from "./trust-state.ts";

/** A program's own view of trust, kept true by Auth's stream. */
export interface OpenTrust {
  readonly trust: TrustState;
  readonly register: SubjectRegister;
  /** Throws while the view is not current: a readiness check. */
  check(): void;
  stop(): Promise<void>;
}

/** Begins to follow Auth's trust stream. Until the stream has been heard nothing is accepted. */
export function openTrust(options: {
  readonly client: Client<typeof AuthService>;
  readonly clock: () => number;
  readonly onFault: (fault: unknown) => void;
}): OpenTrust {
  const { client } = options;
  const trust = new TrustState({ clock: options.clock });
  const register = new RemoteSubjectRegister({ client, trust });
  const stop = new AbortController();
  const following = followTrust({ client, state: trust, signal: stop.signal, onFault: options.onFault });
  return {
    trust,
    register,
    check: () => {
      if (!trust.isCurrent()) throw new Error("Auth's trust stream is not heard");
    },
    stop: async () => {
      stop.abort();
      await following;
    },
  };
}
