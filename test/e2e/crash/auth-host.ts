/** Auth as a program of its own that can be killed at its crash points. */
import { withCrashPoints } from "../../../libs/testing/src/crash-points.ts";
import { authConfig } from "../../../services/auth/src/auth-config.ts";
import { startAuth } from "../../../services/auth/src/start-auth.ts";
import { authCrashPoints, keyCrashPoints, sessionCrashPoints } from "./crash-points.ts";
import { runCrashHost, withSessionLife } from "./run-crash-host.ts";

await runCrashHost(({ orders, reach, deps }) =>
  startAuth(withSessionLife(authConfig.parse(orders.config), orders), {
    ...deps,
    parts: {
      store: (store) => withCrashPoints("auth", store, reach, authCrashPoints),
      keyStore: (store) => withCrashPoints("keys", store, reach, keyCrashPoints),
      sessionStore: (store) => withCrashPoints("sessions", store, reach, sessionCrashPoints),
    },
  }),
);
