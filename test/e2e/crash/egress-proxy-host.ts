/** The egress proxy as a program that can be killed at its crash points. */
import { withCrashPoints } from "../../../libs/testing/src/crash-points.ts";
import { dropPrivileges } from "../../../services/egress-proxy/src/drop-privileges.ts";
import { proxyConfig, proxyUser } from "../../../services/egress-proxy/src/proxy-config.ts";
import { startEgressProxy } from "../../../services/egress-proxy/src/start-egress-proxy.ts";
import { channelCrashPoints, proxyCrashPoints } from "./crash-points.ts";
import { runCrashHost } from "./run-crash-host.ts";

await runCrashHost(({ orders, reach, deps }) => {
  dropPrivileges(proxyUser.parse(orders.config).user, process);
  const config = proxyConfig.parse(orders.config);
  return startEgressProxy(config, {
    ...deps,
    parts: {
      auth: (client) => withCrashPoints("proxy", client, reach, proxyCrashPoints),
      policy: (client) => withCrashPoints("proxy", client, reach, proxyCrashPoints),
      aroundChannel: (channel) => withCrashPoints("channel", channel, reach, channelCrashPoints),
    },
  });
});
