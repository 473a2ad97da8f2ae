import { AuthService } from "@sandgate/api/auth";
import { Listener } from "@sandgate/api/options";
import { Registry } from "prom-client";
import { expect, it } from "vitest";
import { CallMetrics } from "./call-metrics.ts";

it("G-32: counts calls, authentications and denials with labels of closed sets", async () => {
  const registry = new Registry();
  const metrics = new CallMetrics(registry);
  const call = { call: undefined, method: AuthService.method.getPrincipal, listener: Listener.MTLS, durationMs: 500 };
  metrics.countCall({ ...call, outcome: "OK" });
  metrics.countCall({ ...call, outcome: "OK" });
  metrics.countCall({ ...call, outcome: "CREDENTIAL_MISSING" });
  metrics.countAuthentication("sandbox-token", "accepted");
  metrics.countDenial("CREDENTIAL_MISSING", "none");
  for (let scrapes = 0; scrapes < 2; scrapes++) {
    const lines = (await registry.metrics()).split("\n").filter((line) => line.startsWith("sandgate_"));
    expect(lines.sort()).toEqual([
      'sandgate_authentications_total{authenticator="sandbox-token",outcome="accepted"} 1',
      "sandgate_call_seconds_total 1.5",
      'sandgate_calls_total{method="GetPrincipal",outcome="CREDENTIAL_MISSING"} 1',
      'sandgate_calls_total{method="GetPrincipal",outcome="OK"} 2',
      'sandgate_denials_total{reason="CREDENTIAL_MISSING",peer="none"} 1',
    ]);
  }
});
