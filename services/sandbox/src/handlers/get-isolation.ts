import type { SandboxService } from "@sandgate/api/sandbox";
import type { Handler } from "@sandgate/rpc";
import type { SandboxDriver } from "../drivers/sandbox-driver.ts";

/** SandboxService.GetIsolation: what the driver can give here; a machine that can run no sandbox has the gap `isolation`. */
export function getIsolation(deps: {
  readonly driver: Pick<SandboxDriver, "name" | "isolation">;
}): Handler<typeof SandboxService.method.getIsolation> {
  return async () => {
    const { guarantees, gaps, refusal } = await deps.driver.isolation();
    return {
      driver: deps.driver.name,
      guarantees: refusal === undefined ? [...guarantees] : [],
      gaps: [
        ...(refusal === undefined ? [] : [{ name: "isolation", mend: refusal.mend }]),
        ...gaps.map(({ name, mend }) => ({ name, mend })),
      ],
    };
  };
}
