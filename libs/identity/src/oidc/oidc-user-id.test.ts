import { expect, it } from "vitest";
import { oidcUserId } from "./oidc-user-id.ts";

it.each([
  // as Python's uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_URL, issuer), subject) has them
  ["https://id.example.com/realms/a", "24400320", "a70b1877-a841-5207-95b4-6bae0e60be7c"],
  ["https://id.example.com/realms/a", "Zoë|1", "208233f4-37c2-5949-8ae6-f7838347f162"],
])("G-04 the user id of %s, %s is a version 5 UUID that others calculate alike", (issuer, subject, id) => {
  expect(oidcUserId(issuer, subject)).toBe(id);
});

it("G-04 issuer and subject cannot be shifted into each other", () => {
  expect(oidcUserId("https://id.example/a", "b")).not.toBe(oidcUserId("https://id.example/", "ab"));
});
