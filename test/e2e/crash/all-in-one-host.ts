/** The control plane in one process that can be killed at the crash points of all its services. */
import { withCrashPoints } from "../../../libs/testing/src/crash-points.ts";
import { allInOneConfig } from "../../../services/all-in-one/src/all-in-one-config.ts";
import { startAllInOne } from "../../../services/all-in-one/src/start-all-in-one.ts";
import { authCrashPoints, keyCrashPoints, policyCrashPoints, sessionCrashPoints } from "./crash-points.ts";
import { runCrashHost, withSessionLife } from "./run-crash-host.ts";
import { sandboxParts } from "./sandbox-parts.ts";

await runCrashHost(({ orders, reach, deps }) =>
  startAllInOne(withSessionLife(allInOneConfig.parse(orders.config), orders), {
    ...deps,
    parts: {
      ...sandboxParts(reach),
      auth: {
        store: (store) => withCrashPoints("auth", store, reach, authCrashPoints),
        keyStore: (store) => withCrashPoints("keys", store, reach, keyCrashPoints),
        sessionStore: (store) => withCrashPoints("sessions", store, reach, sessionCrashPoints),
      },
      policy: { store: (store) => withCrashPoints("policy", store, reach, policyCrashPoints) },
    },
  }),
);
