import { expect, it } from "vitest";
import { type AdministeredUser, decideUserChange } from "./user-administration.ts";

const user = (over: Partial<AdministeredUser>): AdministeredUser => ({
  userId: "target",
  organizationId: "one",
  role: 1,
  active: true,
  configured: false,
  federated: false,
  ...over,
});
const admin = user({ userId: "admin", role: 3 });
const disable = { kind: "disable" } as const;

it.each([
  ["a member", admin, user({}), disable, "change"],
  ["another administrator", admin, user({ role: 3 }), disable, "change"],
  ["a member who is disabled already", admin, user({ active: false }), disable, "unchanged"],
  ["a member who is to be enabled", admin, user({ active: false }), { kind: "enable" }, "change"],
  ["a member who is enabled already", admin, user({}), { kind: "enable" }, "unchanged"],
  ["another role", admin, user({}), { kind: "set-role", role: 2 }, "change"],
  ["the same role", admin, user({}), { kind: "set-role", role: 1 }, "unchanged"],
  ["themselves", admin, admin, disable, "own"],
  ["somebody of another organization", admin, user({ organizationId: "two" }), disable, "absent"],
  ["somebody who is not there", admin, undefined, disable, "absent"],
  ["a user of the configuration", admin, user({ configured: true }), disable, "configured"],
  ["the role of a provider's user", admin, user({ federated: true }), { kind: "set-role", role: 2 }, "federated"],
  ["a provider's user, who is to be disabled", admin, user({ federated: true }), disable, "change"],
  ["a member, when the role was lost meanwhile", user({ userId: "admin", role: 2 }), user({}), disable, "not_admin"],
  ["a member, when disabled meanwhile", { ...admin, active: false }, user({}), disable, "not_admin"],
  ["a member, when removed meanwhile", undefined, user({}), disable, "not_admin"],
] as const)("decides on an administrator who changes %s", (_, caller, target, change, decision) => {
  expect(decideUserChange(caller, target, change)).toBe(decision);
});
