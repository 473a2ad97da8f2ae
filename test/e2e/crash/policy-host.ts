/** Policy as a program of its own that can be killed at its crash points. */
import { withCrashPoints } from "../../../libs/testing/src/crash-points.ts";
import { policyConfig } from "../../../services/policy/src/policy-config.ts";
import { startPolicy } from "../../../services/policy/src/start-policy.ts";
import { policyCrashPoints } from "./crash-points.ts";
import { runCrashHost } from "./run-crash-host.ts";

await runCrashHost(({ orders, reach, deps }) =>
  startPolicy(policyConfig.parse(orders.config), {
    ...deps,
    parts: { store: (store) => withCrashPoints("policy", store, reach, policyCrashPoints) },
  }),
);
