import { expect, it } from "vitest";
import * as z from "zod";
import { sandboxSettings } from "./sandbox-config.ts";

const settings = z.object({ quotas: sandboxSettings.quotas });
const organization = "0d9a0000-0000-4000-8000-00000000000A";

it("limits organizations of which nothing is said, and takes the id of one in whatever case", () => {
  expect(settings.parse({}).quotas).toEqual({
    default: { sandboxes: 10_000, running_sandboxes: 1_000 },
    organizations: {},
  });
  const { quotas } = settings.parse({ quotas: { organizations: { [organization]: { running_sandboxes: 3 } } } });
  expect(quotas.organizations).toEqual({ [organization.toLowerCase()]: { running_sandboxes: 3 } });
});

it.each([
  [{ default: { sandboxes: -1 } }, "quotas.default.sandboxes"],
  [{ default: { cpu: 1 } }, "quotas.default"],
  [{ organizations: { acme: {} } }, "quotas.organizations.acme"],
  [{ organizations: { [organization]: { processes: 1.5 } } }, `quotas.organizations.${organization}.processes`],
])("names what is wrong with %j", (quotas, path) => {
  const { error } = settings.safeParse({ quotas });
  expect(error?.issues.map((issue) => issue.path.join("."))).toEqual([path]);
});
